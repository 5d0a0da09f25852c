"""Commands that look at finished runs and change their settings: sample, sql, compare, whatif, rerun, ...; and scrub

`cli.py` adds them to `gristmill`. Each imports what it needs when it is called.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from pipeline.errors import RunFailedError, UserError


@click.command()
@click.argument("run")
@click.option("-n", "count", type=click.IntRange(1), default=5, show_default=True, help="Number of documents.")
@click.option(
    "--dropped", metavar="REASON", help="Dropped pages: a stage, a reason, STAGE:REASON, or '' for any reason."
)
@click.option("--where", metavar="SQL", help="A condition over the columns, e.g. \"language = 'de' AND words > 900\".")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed shows other documents.")
@click.option("--characters", type=click.IntRange(1), default=1500, show_default=True, help="Shown of each text.")
def sample(run: str, count: int, dropped: str | None, where: str | None, seed: int, characters: int) -> None:
    """Read documents of a finished run.

    Kept ones, chosen at random; with --dropped those that were dropped, with the deciding measurement.
    """
    from pipeline.inspection.sample import describe_pages, sample_pages

    click.echo(describe_pages(sample_pages(run, count, dropped, where, seed), characters))


@click.command()
@click.argument("run")
@click.argument("statement")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True, help="Output."
)
def sql(run: str, statement: str, form: str) -> None:
    """Ask a finished run in SQL.

    STATEMENT is for DuckDB, with the views `kept`, `dropped`, `duplicates` and `signals` (every measurement of every
    page). Measurements of the first two are fields: signals.gopher_words.
    """
    from pipeline.inspection.sample import run_sql

    click.echo(run_sql(run, statement, form), nl=False)


@click.command()
@click.argument("run1")
@click.argument("run2")
@click.option("--budget", metavar="PERCENT", help="Exit with code 3 if more of RUN1's words differ, e.g. 0.5%.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(run1: str, run2: str, budget: str | None, as_json: bool) -> None:
    """Compare two finished runs.

    Pages that changed their fate, with examples; kept pages and words; shares of domains and languages; content hashes.
    """
    from pipeline.inspection.compare import compare_runs, describe_comparison

    limit = _read_percent(budget) if budget else None
    found = compare_runs(run1, run2)
    click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if as_json else describe_comparison(found))
    if limit is not None and found.changed > limit:
        click.echo(f"gristmill: {found.changed:.3%} of the words differ, the budget is {budget}", err=True)
        sys.exit(RunFailedError.exit_code)


def _read_percent(text: str) -> float:
    """
    >>> _read_percent("0.5%")
    0.005
    """
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise UserError(f"--budget {text}: expected per cent of words, such as 0.5%")
    return percent / 100


@click.command()
@click.argument("run")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with the settings that change.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="One setting; may be repeated.")
@click.option(
    "--versus", "others", multiple=True, metavar="TABLE.KEY=VALUE", help="A second configuration to compare with."
)
@click.option("--versus-config", type=click.Path(path_type=Path), help="The same as a TOML file.")
@click.option(
    "--replay",
    default="300",
    show_default=True,
    metavar="N",
    help="Pages replayed from the input at most, of those that stored measurements do not decide; or all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def whatif(
    run: str,
    config: Path | None,
    overrides: tuple[str, ...],
    others: tuple[str, ...],
    versus_config: Path | None,
    replay: str,
    as_json: bool,
) -> None:
    """Say what other settings would change.

    Pages and words lost and won, by rule, domain, language and site; the mixture and the weights; pages of each side.
    Tighter limits are exact, duplicates of pages that leave included. Pages that a looser limit lets through are
    replayed from the input, a sample of them if they are many; then an interval is given.
    """
    from pipeline.config import load_config
    from pipeline.inspection.stored_run import read_stored_run
    from pipeline.whatif.ask import what_if
    from pipeline.whatif.describe import describe_answer

    if replay != "all" and not replay.isdecimal():
        raise UserError(f"--replay {replay}: expected a number of pages, or all")
    count = None if replay == "all" else int(replay)
    stored = read_stored_run(run)
    questions = [(config, overrides), *([(versus_config, others)] if others or versus_config else [])]
    answers = [what_if(run, load_config(path, given, base=stored.settings), count) for path, given in questions]
    if as_json:
        first, *second = (answer.to_json() for answer in answers)
        click.echo(json.dumps({**first, **({"versus": second[0]} if second else {})}, indent=1, ensure_ascii=False))
    else:
        click.echo("\n\n══ versus ══\n\n".join(map(describe_answer, answers)))


@click.command()
@click.argument("run")
@click.option("--output", required=True, help="A new folder for the result.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with the settings that change.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="One setting; may be repeated.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, show_default="one per core")
@click.option(
    "--keep-work/--no-keep-work", default=True, show_default=True, help="Keep in OUTPUT/work what reruns start from."
)
def rerun(
    run: str, output: str, config: Path | None, overrides: tuple[str, ...], workers: int, keep_work: bool
) -> None:
    """Curate again with other settings.

    What RUN has stored is reused down to the first stage that the change concerns, and said beforehand: published rows
    for other weights, else the results of all page stages, or the extracted texts. The result equals a fresh run.
    """
    from pipeline.curate import describe_command
    from pipeline.publishing.manifest import check_kept
    from pipeline.reports.console_summary import funnel
    from pipeline.rerun import plan_rerun, run_again

    command = describe_command(sys.argv[1:])
    plan = plan_rerun(run, output, config, overrides, workers=workers, keep_work=keep_work, command=command)
    click.echo(plan.describe(), err=True)
    run_again(plan)
    click.echo(funnel(plan.run.layout))
    check_kept(output)


@click.command()
@click.argument("runs", nargs=-1, required=True)
def clean(runs: tuple[str, ...]) -> None:
    """Remove the work files of finished runs.

    They hold extracted texts with personal data, those of dropped pages too. The dataset stays as it is; a later rerun
    with other filters reads the input again.
    """
    from pipeline.curate import clean_run
    from pipeline.reports.formatting import measure

    for run in runs:
        click.echo(f"{run}: {measure(clean_run(run) / 1e6)} MB removed")


@click.command()
@click.argument("run")
@click.argument("run2", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="On this machine; 0: any.")
def explore(run: str, run2: str | None, port: int) -> None:
    """Look at a finished run in a browser.

    The page is served on this machine only: the funnel and its pages, search, limits to drag, the mixture, duplicates,
    personal data, a queue of pages to judge, and RUN beside RUN2. Nothing is written but votes, to RUN/votes.sqlite.
    """
    from pipeline.explore.server import make_server

    server, address = make_server(run, run2, port)
    click.echo(f"{run} is at {address} (Ctrl-C ends it)")
    server.run()


@click.command()
@click.argument("file")
@click.option("--output", required=True, metavar="FILE", help="A new file of the same format; .gz compresses it.")
@click.option("--language", default="en", show_default=True, help="Language whose phone numbers are found (ISO 639).")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file; its table scrub_pii is used.")
@click.option("--set", "overrides", multiple=True, metavar="scrub_pii.KEY=VALUE", help="One setting; may be repeated.")
def scrub(file: str, output: str, language: str, config: Path | None, overrides: tuple[str, ...]) -> None:
    """Replace personal data in conversation files.

    Or of preferences or prompts, for `gristmill train`: all strings of .jsonl, .json or .tsv (.gz, .zst), by the rules
    of the stage scrub_pii, with its placeholders. Items that are mostly personal data, or that cannot be read, are left
    out and counted.
    """
    from pipeline.config import load_config
    from pipeline.scrub import scrub_file

    report = scrub_file(file, output, load_config(config, overrides).scrub_pii, language)
    click.echo(f"{output}: {report.describe()}")


COMMANDS = (sample, sql, compare, whatif, rerun, clean, explore, scrub)
