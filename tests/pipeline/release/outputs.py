"""Small finished outputs for the tests: rows of one's own, published by the code that publishes a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.curate import Run, Verdicts, local_paths, plan_run, publish_task, write_reports
from pipeline.deduplication.sketch import sketch_columns
from pipeline.deduplication.verdicts import Verdict, write_verdicts
from pipeline.documents import Document, Dropped
from pipeline.ledger import Tally, document_row, drop_row
from pipeline.prepare import write_table
from pipeline.publish import CountWords, WordCounts, plan_parts
from pipeline.publishing.manifest import claim
from pipeline.publishing.schema import DROP, STAGED
from pipeline.publishing.weights import weight_table
from pipeline.reading.inputs import Input
from pipeline.storage.layout import Layout, read_run
from pipeline.storage.own_files import remove_work


@dataclass(frozen=True)
class Page:
    """One page: kept, a duplicate of a kept one (`copy_of`, its place in the list), or dropped by a filter."""

    url: str
    text: str
    copy_of: int | None = None
    dropped: bool = False


def document(number: int, page: Page) -> Document:
    host = page.url.split("/")[2]
    return Document(
        id=f"{number:032x}", url=page.url, fetched_at="2026-10-01T12:00:00Z", warc_file="crawl.warc.gz",
        warc_offset=number * 1000, host=host, registered_domain=".".join(host.split(".")[-2:]), title=f"Page {number}",
        text=page.text, language="en", language_score=0.9, quality_score=number % 7 / 7,
        education_score=float(number % 5),
        domain=f"topic{number % 3}",
        domain_score=0.5, kind="news", kind_score=0.5, warc_length=900,
    )  # fmt: skip


def write_output(folder: Path, pages: Sequence[Page], units: int = 2, **settings: Any) -> Path:
    """A finished output with one part a unit."""
    write_output_at(str(folder), pages, units, **settings)
    return folder


def write_output_at(
    folder: str, pages: Sequence[Page], units: int = 2, input_name: str = "crawl.warc.gz", **settings: Any
) -> None:
    """The same at any address."""
    config = Config.model_validate({**settings, "publish": {"shard_bytes": 1, **settings.get("publish", {})}})
    inputs = [Input(input_name, storage.join(folder, "crawl.warc.gz"), 1000)]
    run = plan_run(inputs, config, folder)
    claim(run.layout, run.identity, local_paths(run), overwrite=False)
    verdicts = storage.join(run.layout.work, "verdicts-0")
    tally, characters = Tally(), {}
    copies = [sum(other.copy_of == number for other in pages) for number in range(len(pages))]
    for unit in range(units):
        members = [(number, page) for number, page in enumerate(pages) if number % units == unit]
        characters[f"unit{unit}"] = _write_unit(run, f"unit{unit}", members, copies, verdicts, tally)
    _publish(run, verdicts, characters, tally)
    remove_work(Layout(folder, read_run(run.layout)["work"]))


def _write_unit(
    run: Run, key: str, members: list[tuple[int, Page]], copies: list[int], verdicts: str, tally: Tally
) -> int:
    staged, decided, drops = [], [], []
    for number, page in members:
        found = document(number, page)
        tally.pages += 1
        if page.dropped:
            dropped = Dropped(found, "filter_heuristics", "too_few_words", 3, 50, "few words", page.text)
            drops.append({**drop_row(dropped), "excerpt": page.text[:500], "text": page.text})
            continue
        tally.kept += 1
        staged.append({**document_row(found), **sketch_columns(found, run.config.deduplicate)})
        if page.copy_of is None:
            decided.append(Verdict(duplicates=copies[number]))
        else:
            decided.append(Verdict("same_text", f"{page.copy_of:032x}"))
    write_table(run.layout.unit("staged", key), staged, STAGED)
    write_table(run.layout.unit("drops", key), drops, DROP)
    names = ("reason", "survivor", "snapshot", "value", "threshold", "duplicates", "remove")
    columns = {name: [getattr(verdict, name) for verdict in decided] for name in names}
    write_verdicts(storage.join(verdicts, f"{key}.parquet"), columns)
    tally.dropped.update({"filter_heuristics:too_few_words": len(drops)} if drops else {})
    return sum(len(row["text"]) for row in staged) or 1


def _publish(run: Run, folder: str, characters: dict[str, int], tally: Tally) -> None:
    verdicts, parts = Verdicts(folder, {"dropped": {}, "groups": []}), plan_parts(characters, 1)
    counts = WordCounts.sum_of([CountWords(run.layout, folder, "0").compute(part) for part in parts])
    task = publish_task(run, verdicts, weight_table(counts.words, run.config.publish.weights))
    write_reports(run, tally, verdicts, counts, [task.compute(part) for part in parts])


def copy_page(pages: list[Page], number: int, url: str) -> Page:
    """The same text at another URL, dropped as a duplicate."""
    return replace(pages[number], url=url, copy_of=number)
