"""OUT/README.md: the dataset card; its front matter tells Hugging Face's `load_dataset` where the shards are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.storage.layout import Layout

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
         (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))  # fmt: skip

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: shards/*.parquet
language:
{languages}
size_categories:
- {size}
task_categories:
- text-generation
tags:
- gristmill
- common-crawl
---
# {kept:,} documents from {pages:,} web pages

Curated by Gristmill {version} from {inputs:,} crawl files: {words:,} words, {characters:,} characters{tokens}.
Content hash `{content_hash}`.

The pages belong to their publishers; respect their terms. Personal data was replaced by placeholders as far as
patterns find it; names of people were not.

## Columns

`text` is the main content of the page at `url`, captured at `fetched_at`; `warc_file` and `warc_offset` locate the
capture. `weight` is how often one pass over the dataset should repeat the document, `duplicates` the number of pages
that were dropped as its duplicates. `domain`, `language`, `quality_score` (0 to 1) and `education_score` (0 to 5) are
predictions of classifiers; `signals` holds every measurement. `drops/` has one row for each dropped page, with stage,
reason, measurement and threshold.

```python
from datasets import load_dataset
pages = load_dataset("parquet", data_files="shards/*.parquet", split="train")
```

```sql
SELECT domain, count(*), sum(words) FROM 'shards/*.parquet' GROUP BY domain ORDER BY 3 DESC;  -- DuckDB
```

## Dropped pages

| stage | reason | pages |
|---|---|---:|
{drops}

## Languages

| language | documents | words |
|---|---:|---:|
{language_rows}
"""


def write_card(layout: Layout, report: Mapping[str, Any]) -> None:
    """Writes the card. It holds counts and fixed text, nothing from a web page."""
    with storage.write_atomically(layout.card) as file:
        file.write(format_card(report).encode())


def format_card(report: Mapping[str, Any]) -> str:
    """The text of the card, from the numbers of report.json."""
    languages = report["languages"]
    drops = [
        f"| {stage} | {reason} | {count:,} |"
        for stage, reasons in report["dropped"].items()
        for reason, count in reasons.items()
    ]
    return CARD.format(
        languages="\n".join(f"- {row['language']}" for row in languages if row["language"]) or "- und",
        size=next((name for limit, name in SIZES if report["kept"] < limit), "n>1B"),
        kept=report["kept"],
        pages=report["pages"],
        version=report["versions"]["gristmill"],
        inputs=len(report["inputs"]),
        words=report["words"],
        characters=report["characters"],
        tokens=f", {report['tokens']:,} tokens" if report.get("tokens") is not None else "",
        content_hash=report["content_hash"],
        drops="\n".join(drops),
        language_rows="\n".join(
            f"| {row['language'] or '?'} | {row['documents']:,} | {row['words']:,} |" for row in languages
        ),
    )
