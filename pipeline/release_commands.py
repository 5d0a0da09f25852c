"""Commands about rights and releases: remove, release, rehydrate, push.

`cli.py` adds them to `gristmill`. Each imports what it needs when it is called.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from pipeline.errors import RunFailedError, UserError


@click.command()
@click.argument("output")
@click.option("--url", "url", multiple=True, help="A page, however its address is spelled; may be repeated.")
@click.option("--prefix", multiple=True, help="All pages whose address begins so, with http or https.")
@click.option("--host", multiple=True, help="All pages of a host and of the hosts below it.")
@click.option("--domain", multiple=True, help="All pages of a registered domain.")
@click.option("--id", "id", multiple=True, help="A document id.")
@click.option("--text", multiple=True, help="All pages with this text, or nearly: at least 12 words.")
@click.option("--list", "lists", multiple=True, metavar="FILE", help="One of these a line: `domain example.org`.")
@click.option("--copies", is_flag=True, help="Also kept pages of others of which a removed page was a duplicate.")
@click.option(
    "--reweigh", is_flag=True, help="Compute the weights of what is left anew; alone, after an earlier removal."
)
@click.option("--receipt", metavar="FILE", help="JSON: what was asked, what was found where, hashes before and after.")
@click.option("--tokens", metavar="FOLDER", help="Token store of the trainer  [default: the trainer's own]")
def remove(
    output: str,
    lists: tuple[str, ...],
    copies: bool,
    reweigh: bool,
    receipt: str | None,
    tokens: str | None,
    **kinds: tuple[str, ...],
) -> None:
    """Take pages out of a finished output.

    Also out of all snapshots of a folder; they are kept out of later runs.

    Shards, drops, sketches, duplicates, reports and token stores lose the pages. Only the files concerned are written
    again; all other rows stay as they are, with their weights unless --reweigh is given. Later runs into OUTPUT read
    its suppression list. Run the same command again after a crash.
    """
    from pipeline.release.receipt import check_receipt, make_receipt
    from pipeline.release.remove import describe, remove
    from pipeline.release.selectors import make_request
    from pipeline.storage.layout import write_json

    request = make_request(kinds, lists, may_be_empty=reweigh)
    if receipt:
        check_receipt(receipt)
    found = remove(output, request, copies=copies, reweigh=reweigh)
    stores = _remove_from_token_stores(tokens, found)
    click.echo(describe(found))
    for store in stores:
        click.echo(f"{store['folder']}: {store['documents']:,} documents blanked")
    if receipt:
        write_json(receipt, make_receipt(request, found, stores))


@click.command()
@click.argument("run")
@click.option("--annotations", is_flag=True, help="Everything but the texts, for `gristmill rehydrate`.")
@click.option("--training-summary", is_flag=True, help="Summary of training content, EU AI Act, article 53(1)(d).")
@click.option("--small-enterprise", is_flag=True, help="Fewer domain names in the summary: 5%, at most 1,000.")
@click.option("--provenance", is_flag=True, help="W3C PROV (PROV-JSON): inputs, settings, lists, models, code, shards.")
@click.option("--output", required=True, help="A new folder.")
def release(
    run: str, annotations: bool, training_summary: bool, small_enterprise: bool, provenance: bool, output: str
) -> None:
    """Describe a finished output without its texts.

    Annotations are ids, URLs, places in WARC files, scores, labels, weights and hashes of the texts.
    """
    from pipeline.release.annotations import release_annotations
    from pipeline.release.new_folder import open_new_folder
    from pipeline.release.provenance_graph import write_provenance
    from pipeline.release.training_summary import write_training_summary

    if not (annotations or training_summary or provenance):
        raise click.UsageError("name what to release: --annotations, --training-summary or --provenance")
    with open_new_folder(run, output):
        if annotations:
            values = release_annotations(run, output)
            click.echo(f"{output}: annotations of {values['kept']:,} documents, content hash {values['content_hash']}")
        if training_summary:
            values = write_training_summary(run, output, small=small_enterprise)
            names = values["domain_names"]
            domains = f"{len(names['top']):,} of {names['all']:,} domain names"
            click.echo(f"{output}: summary of {values['documents']:,} documents, {domains}")
        if provenance:
            values = write_provenance(run, output)
            click.echo(f"{output}: provenance with {len(values['entity']):,} entities")


@click.command()
@click.argument("release")
@click.option("--output", required=True, help="Folder for the shards; the same command resumes.")
@click.option("--source", default="", help="Where the crawl's files are: a folder or address.  [default: Common Crawl]")
@click.option("--retry", is_flag=True, help="Fetch again what an earlier call could not have.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=PATH", help="Where an own model of it is.")
def rehydrate(release: str, output: str, source: str, retry: bool, overrides: tuple[str, ...]) -> None:
    """Make a release's dataset from its pages.

    The pages are fetched again from their WARC files.

    Pages that cannot be had, or whose text has another hash, are listed in OUTPUT/missing.json.
    """
    from pipeline.page_process.chain import close_started_worker
    from pipeline.release.rehydrate import rehydrate
    from pipeline.storage.pace import log_refusals

    try:
        with log_refusals():
            found = rehydrate(release, output, source, overrides, retry=retry)
    finally:
        close_started_worker()
    same = "that of the release" if found.is_equal else "not that of the release"
    click.echo(f"{output}: {found.documents:,} documents, {found.missing:,} missing; content hash {same}")
    for reason, count in found.reasons[:5]:
        click.echo(f"{count:,} missing: {reason}")
    if found.missing and not found.documents:
        raise RunFailedError(f"no document of {release} could be had; {output}/missing.json has the reasons")


@click.command()
@click.argument("run")
@click.argument("target")
@click.option("--endpoint", envvar="HF_ENDPOINT", help="Another hub than huggingface.co.")
def push(run: str, target: str, endpoint: str | None) -> None:
    """Publish a finished output for others.

    It is split by language and topic, with a dataset card and Croissant metadata.
    TARGET is hf://datasets/OWNER/NAME (token of `hf auth login` or HF_TOKEN), a folder, or an s3:// or gs:// address.
    The same command resumes; at the end the hashes of all files are compared.
    """
    from pipeline.release.push import push

    values = push(run, target, endpoint=endpoint)
    click.echo(f"{target}: {values['documents']:,} documents in {len(values['files']):,} files, hashes as sent")


def _remove_from_token_stores(folder: str | None, found: Any) -> list[dict[str, Any]]:
    """The token stores of the trainer, if it is installed here, lose the same documents."""
    try:
        removal = importlib.import_module("trainer.data.removal")
    except ModuleNotFoundError:
        if folder:
            raise UserError("--tokens needs the trainer: pip install 'gristmill[trainer]'") from None
        return []
    ids = {document for removed in found.values() for document in removed.documents}
    return removal.remove_documents(Path(folder) if folder else None, ids)  # type: ignore[no-any-return]


COMMANDS = (remove, release, rehydrate, push)
