"""The public summary of training content that article 53(1)(d) of the EU's AI Act asks of providers of models.

It follows the template of the AI Office (July 2025) as far as a dataset can fill it in: type and size of the content,
the crawls and their period, languages, the measures taken, and the domain names with the most content: the first tenth
of all domain names, or with `small` (for small and medium-sized enterprises) the first twentieth, at most 1,000. All
numbers are sums over the rows of the ledger, so they add up. What only the provider of the model knows (name, contact,
date of release, other datasets) is left to fill in.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.errors import UserError
from pipeline.storage.layout import Layout, read_manifest, read_report

_SMALL = 1_000  # domain names
JSON_FILE, TEXT_FILE = "training_summary.json", "training_summary.md"


def write_training_summary(output: str, target: str, *, small: bool = False) -> dict[str, Any]:
    """Writes the summary as JSON and as Markdown; returns its values. Raises UserError without a finished output."""
    layout = Layout(output)
    if not storage.exists(layout.manifest):
        raise UserError(f"{output}: no manifest.json; give the --output of a finished `gristmill curate`")
    values = summarize(layout, small=small)
    with storage.write_atomically(storage.join(target, JSON_FILE)) as file:
        file.write((json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
    with storage.write_atomically(storage.join(target, TEXT_FILE)) as file:
        file.write(format_summary(values).encode())
    return values


def summarize(layout: Layout, *, small: bool) -> dict[str, Any]:
    """The numbers, from one pass over the columns of the shards that they need."""
    manifest, report = read_manifest(layout), read_report(layout)
    sizes, documents, first, last = Counter[str](), Counter[str](), "", ""
    for entry in manifest["shards"]:
        with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
            columns = ["registered_domain", "characters", "fetched_at"]
            for batch in parquet.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    sizes[row["registered_domain"] or ""] += row["characters"]
                    documents[row["registered_domain"] or ""] += 1
                    date = row["fetched_at"] or ""
                    first, last = min(first or date, date or first), max(last, date)
    named = sorted((name for name in sizes if name), key=lambda name: (-sizes[name], name))
    shown = named[: min(-(-len(named) // 20), _SMALL)] if small else named[: -(-len(named) // 10)]
    return {
        "content_hash": manifest["content_hash"],
        "modality": "text",
        "documents": manifest["kept"],
        "words": manifest["words"],
        "characters": manifest["characters"],
        "tokens": report["tokens"],
        "languages": [
            {"language": row["language"], "documents": row["documents"], "words": row["words"]}
            for row in report["languages"]
        ],
        "crawl": {
            "inputs": len(manifest["inputs"]),
            "input_bytes": sum(entry["bytes"] for entry in manifest["inputs"]),
            "pages": manifest["pages"],
            "first": first[:10],
            "last": last[:10],
        },
        "domain_names": {
            "all": len(named),
            "rule": "the first 5%, at most 1,000, by characters" if small else "the first 10% by characters",
            "characters_without_name": sizes[""],
            "characters_of_others": sum(sizes[name] for name in named[len(shown) :]),
            "top": [{"domain": name, "documents": documents[name], "characters": sizes[name]} for name in shown],
        },
        "measures": {
            "dropped": report["dropped"],
            "opt_outs": report["rights"]["opt_outs"],
            "removed_on_request": manifest.get("removed", 0),
        },
    }


_TEXT = """# Summary of training content (Regulation (EU) 2024/1689, article 53(1)(d))

## 1. General information

- Provider, contact, model, date of placing on the market: *to be filled in by the provider of the model*
- Modality: {modality}
- Size: {documents:,} documents, {words:,} words, {characters:,} characters{tokens}
- Content hash of the dataset: `{content_hash}`

| language | documents | words |
|---|---:|---:|
{languages}

## 2. Data sources

Content crawled from the web: {inputs:,} crawl files ({input_bytes:,} bytes) with {pages:,} pages, captured from {first}
to {last}; {documents:,} pages were kept. *Licensed content, user data, synthetic data and other sources of the model's
training: to be filled in.*

Domain names: {shown:,} of {all:,} ({rule}). The others have {others:,} characters, and pages without a domain name have
{nameless:,}.

| domain name | documents | characters |
|---|---:|---:|
{top}

## 3. Data processing

Pages were dropped by these stages ({dropped:,} pages in all):

| stage | pages |
|---|---:|
{stages}

- Reservation of rights: opt-outs by X-Robots-Tag, meta robots, TDMRep, Content-Usage and robots.txt were read
  ({opt_out_pages:,} statements); {respected:,} pages were dropped for what they say.
- Removed on request since: {removed_on_request:,} documents.
- Personal data was replaced by placeholders as far as patterns find it; the stages above say what was dropped as
  unwanted or harmful.
"""


def format_summary(values: Mapping[str, Any]) -> str:
    """The summary as Markdown. Names of domains come from the web: they hold no character that Markdown reads."""
    dropped = values["measures"]["dropped"]
    names, rights = values["domain_names"], dropped.get("check_rights", {})
    return _TEXT.format(
        **{name: values[name] for name in ("modality", "documents", "words", "characters", "content_hash")},
        tokens=f", {values['tokens']:,} tokens" if values["tokens"] is not None else "",
        languages="\n".join(
            f"| {row['language'] or '?'} | {row['documents']:,} | {row['words']:,} |" for row in values["languages"]
        ),
        **{name: values["crawl"][name] for name in ("inputs", "input_bytes", "pages", "first", "last")},
        shown=len(names["top"]),
        all=names["all"],
        rule=names["rule"],
        others=names["characters_of_others"],
        nameless=names["characters_without_name"],
        top="\n".join(
            f"| {_plain(row['domain'])} | {row['documents']:,} | {row['characters']:,} |" for row in names["top"]
        ),
        dropped=sum(sum(reasons.values()) for reasons in dropped.values()),
        stages="\n".join(f"| {stage} | {sum(reasons.values()):,} |" for stage, reasons in dropped.items()),
        opt_out_pages=sum(row["pages"] for row in values["measures"]["opt_outs"]),
        respected=sum(count for reason, count in rights.items() if reason != "license"),
        removed_on_request=values["measures"]["removed_on_request"],
    )


def _plain(name: str) -> str:
    return "".join(character if character.isalnum() or character in ".-" else "?" for character in name)
