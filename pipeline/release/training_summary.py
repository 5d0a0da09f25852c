"""The public summary of training content that article 53(1)(d) of the EU's AI Act asks of providers of models.

It has the sections of the Commission's template (July 2025), as published summaries have them, and fills in what a
dataset knows: sizes, languages, the crawls and their period, the measures taken, and the domain names with the most
content: the first tenth of all domain names, or with `small` (for small and medium-sized enterprises) the first
twentieth, at most 1,000. Crawls of Common Crawl are publicly available datasets of others (2.1); any other crawl is
taken for the provider's own (2.3). All numbers are sums over the rows of the ledger, so they add up. What only the
provider of the model knows is left to fill in.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.storage.layout import Layout, read_manifest, read_report

_SMALL = 1_000  # domain names
JSON_FILE, TEXT_FILE = "training_summary.json", "training_summary.md"


def write_training_summary(output: str, target: str, *, small: bool = False) -> dict[str, Any]:
    """Writes the summary as JSON and as Markdown into a folder of open_new_folder; returns its values."""
    values = summarize(Layout(output), small=small)
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
        "size_range": _size_range(report["tokens"], manifest["characters"]),
        "common_crawl": _common_crawls(manifest),
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


def _common_crawls(manifest: Mapping[str, Any]) -> list[str]:
    """The crawls of Common Crawl that the input files are of, by the folders of their names."""
    parts = (entry["name"].split("/") for entry in manifest["inputs"])
    return sorted({part[1] for part in parts if part[0] == "crawl-data" and len(part) > 2})


_BYTES = 4  # of a character at most; a token has at least one byte
_RANGES = ("less than 1 billion tokens", "1 billion to 10 trillion tokens", "more than 10 trillion tokens")


def _size_range(tokens: int | None, characters: int) -> str | None:
    """The range of the template; without a count of tokens only where the characters leave no other.

    >>> _size_range(2 * 10**9, 0), _size_range(None, 10**6), _size_range(None, 10**10)
    ('1 billion to 10 trillion tokens', 'less than 1 billion tokens', None)
    """
    if tokens is None:
        return _RANGES[0] if _BYTES * characters < 10**9 else None
    return _RANGES[(tokens >= 10**9) + (tokens > 10**13)]


_TEXT = """# Public summary of training content (Regulation (EU) 2024/1689, article 53(1)(d))

Version of the summary: {fill}. Last update: {fill}. Dataset with the content hash `{content_hash}`.

## 1. General information

### 1.1. Provider identification

- Provider name and contact details: {fill}
- Authorised representative: {fill}

### 1.2. Model identification

- Versioned model names: {fill}
- Model dependencies: {fill}
- Date of placement of the model on the Union market: {fill}

### 1.3. Modalities, overall training data size and other characteristics

| modality | training data size | types of content |
|---|---|---|
| {modality} | {size_range}; {documents:,} documents, {words:,} words, {characters:,} characters{tokens} | web pages |

- Latest date of data acquisition: {last}
- Linguistic characteristics: {language_count:,} languages, as predicted

| language | documents | words |
|---|---:|---:|
{languages}

## 2. List of data sources

### 2.1. Publicly available datasets

{public}

### 2.2. Private non-publicly available datasets obtained from third parties

- 2.2.1. Licensed by rightsholders or their representatives: {fill}
- 2.2.2. Obtained from other third parties: {fill}

### 2.3. Data crawled and scraped from online sources

{own}

Crawl files: {inputs:,} ({input_bytes:,} bytes) with {pages:,} pages; {documents:,} pages, captured from {first} to
{last}, were kept.

Domain names: {shown:,} of {all:,} ({rule}). The others have {others:,} characters, and pages without a domain name have
{nameless:,}.

| domain name | documents | characters |
|---|---:|---:|
{top}

### 2.4. User data

{fill}

### 2.5. Synthetic data

{fill}

### 2.6. Other sources of data

{fill}

## 3. Data processing aspects

### 3.1. Respect of reservation of rights from text and data mining exception or limitation

- Signatory to the Code of Practice: {fill}
- Opt-outs by X-Robots-Tag, meta robots, TDMRep, Content-Usage and robots.txt were read ({opt_out_pages:,} statements);
  {respected:,} pages were dropped for what they say.
- Removed on request since: {removed_on_request:,} documents.

### 3.2. Removal of illegal content

{fill}. What the dataset's stages drop, unwanted and harmful content among it, is in 3.3.

### 3.3. Other information

Pages were dropped by these stages ({dropped:,} pages in all). Personal data was replaced by placeholders as far as
patterns find it.

| stage | pages |
|---|---:|
{stages}
"""
_FILL = "*to be filled in by the provider of the model*"


def format_summary(values: Mapping[str, Any]) -> str:
    """The summary as Markdown. Names of domains come from the web: they hold no character that Markdown reads."""
    dropped = values["measures"]["dropped"]
    names, rights = values["domain_names"], dropped.get("check_rights", {})
    crawls = ", ".join(map(_plain, values["common_crawl"]))
    return _TEXT.format(
        **{name: values[name] for name in ("modality", "documents", "words", "characters", "content_hash")},
        fill=_FILL,
        size_range=values["size_range"] or _FILL,
        tokens=f", {values['tokens']:,} tokens" if values["tokens"] is not None else "",
        language_count=len(values["languages"]),
        public=f"- Common Crawl, https://commoncrawl.org/: {crawls}\n- Others: {_FILL}" if crawls else _FILL,
        own=(
            "The crawl files below are Common Crawl's (2.1); the template asks for domain names of the provider's own "
            f"crawls. Crawlers used by the provider or on its behalf: {_FILL}"
            if crawls
            else f"Crawler names, their purposes and behaviour: {_FILL}"
        ),
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
