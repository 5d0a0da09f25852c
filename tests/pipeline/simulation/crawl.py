"""A crawl of six pages in two files, and commands on it in this process, with the same page stages for all runs."""

from __future__ import annotations

import gzip
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import curate, effects
from pipeline.cli import gristmill
from pipeline.config import Config
from pipeline.errors import RunFailedError
from pipeline.publishing.provenance import file_digests
from tests.minicrawl import kept
from tests.minicrawl.captures import Warc
from tests.pipeline.simulation.page_thread import PageThread

_digests: dict[str, dict[str, str]] = {}


def write_crawl(folder: Path, name: str = "CC-MAIN-2026-43", first: int = 0) -> None:
    """A mirror with one crawl: two files, six pages; one of them twice, one too short to be kept."""
    stories = kept.stories()[first : first + 4]
    short = replace(stories[0], url="https://short.example/", body=b"<html><body><p>Too short.</p></body></html>")
    twice = replace(stories[1], url="https://copy.example/page")
    files = {"a.warc.gz": [*stories[:2], short], "b.warc.gz": [twice, *stories[2:4]]}
    warcs = folder / "crawl-data" / name / "warc"
    warcs.mkdir(parents=True)
    for number, (file, captures) in enumerate(files.items()):
        Warc(file, [replace(each, at=10 * number + at) for at, each in enumerate(captures, 1)]).write(warcs)
    listing = "".join(f"crawl-data/{name}/warc/{file}\n" for file in files)
    (warcs.parent / "warc.paths").write_text(listing)
    (warcs.parent / "warc.paths.gz").write_bytes(gzip.compress(listing.encode(), mtime=0))


DOCUMENTS = ("a.jsonl.gz", "b.parquet")


def write_documents(folder: Path) -> None:
    """Six pages in a JSONL and a Parquet file."""
    rows = [
        {"url": story.url, "date": "2026-01-02T03:04:05Z", "html": story.body.decode(errors="replace")}
        for story in kept.stories()[:6]
    ]
    folder.mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows[:3])
    (folder / DOCUMENTS[0]).write_bytes(gzip.compress(lines.encode(), mtime=0))
    pq.write_table(pa.Table.from_pylist(rows[3:]), folder / DOCUMENTS[1])


def run(*arguments: object) -> None:
    """`gristmill ARGUMENTS` in this process; its errors are raised."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(io.StringIO()):
            gristmill.main([str(each) for each in arguments], standalone_mode=False)
    except SystemExit as error:  # `audit`, which has printed what fails
        raise RunFailedError(f"{arguments}: exit code {error.code}: {' '.join(printed.getvalue().split())}") from error


@contextmanager
def shared_page_process() -> Iterator[None]:
    """In the block, a page process is a thread that asks stages which all runs share: their start takes seconds.

    Nor does a run start a thread that waits for signals. The shipped models and lists, which never change, are hashed
    once.
    """
    log = logging.getLogger("gristmill")
    level = log.level
    log.setLevel(logging.CRITICAL)
    with (
        patch.object(effects, "subprocess", SimpleNamespace(Popen=PageThread)),
        patch.object(curate, "file_digests", _digest_once),
    ):
        try:
            yield
        finally:
            log.setLevel(level)  # else tests that follow in this process see no warning


def _digest_once(config: Config) -> dict[str, str]:
    key = config.model_dump_json()
    if key not in _digests:
        _digests[key] = file_digests(config)
    return _digests[key]
