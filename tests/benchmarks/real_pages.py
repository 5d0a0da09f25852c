"""Read the real pages of the data folder, for benchmarks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.documents import Page
from tests.benchmarks import data_folder


def rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(data_folder() / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_pages(wanted: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Page]]:
    """Yield the pages of these rows of pages.jsonl.gz, file by file."""
    files: dict[str, dict[int, dict[str, Any]]] = {}
    for row in wanted:
        files.setdefault(row["warc"], {})[row["offset"]] = row
    for name, at in sorted(files.items()):
        with (data_folder() / "warc" / name).open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                if record.stream_pos in at:
                    row = at[record.stream_pos]
                    yield (
                        row,
                        Page(
                            row["url"],
                            row["date"][:19] + "Z",
                            name,
                            row["offset"],
                            record.reader.read(),
                            http_charset=record.http_charset,
                        ),
                    )
