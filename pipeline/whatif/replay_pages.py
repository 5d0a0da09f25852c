"""Replay pages whose fate stored measurements do not decide: from their place in the input, under the new settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.documents import Document, Dropped
from pipeline.inspection.stored_run import StoredRun
from pipeline.ledger import document_row
from pipeline.page_process.chain import open_worker
from pipeline.page_process.killable_process import PageLost
from pipeline.publishing.candidates import pack_line_words
from pipeline.stages.read_input import read_record


@dataclass(frozen=True, slots=True)
class ReplayedPage:
    """A page under the new settings."""

    page: Mapping[str, Any]  # its row of `read_fates`
    fate: str  # "stage:reason", or "candidate": it reaches deduplication
    document: Mapping[str, Any] | None = None  # the staged row with its sketch and `line_words`
    value: float | None = None
    threshold: float | None = None


def is_readable(run: StoredRun, page: Mapping[str, Any]) -> bool:
    """Whether the input file of the page is still there."""
    return page["warc_file"] in _paths(run) and storage.exists(_paths(run)[page["warc_file"]])


def _paths(run: StoredRun) -> dict[str, str]:
    return {item.name: item.path for item in run.inputs}


def replay_pages(run: StoredRun, config: Config, pages: Iterable[Mapping[str, Any]]) -> Iterator[ReplayedPage]:
    """Runs the page stages on each, in a process that can be killed."""
    pages = list(pages)
    if not pages:
        return
    paths = _paths(run)
    with open_worker(config) as worker:
        for page in pages:
            place = (paths[page["warc_file"]], page["warc_offset"], page["warc_file"])
            item = read_record(*place, config.read_warc, config.read_documents)
            if isinstance(item, Dropped):
                yield _as_dropped(page, item)
                continue
            answer = worker.run(item)
            if isinstance(answer, PageLost):
                yield _as_dropped(page, answer.as_drop(item))
                continue
            result = answer.result
            if isinstance(result, Document):
                row = {**document_row(result), **answer.sketch, "line_words": pack_line_words(result.text)}
                yield ReplayedPage(page, "candidate", row)
            else:
                yield _as_dropped(page, result)


def _as_dropped(page: Mapping[str, Any], dropped: Dropped) -> ReplayedPage:
    return ReplayedPage(page, f"{dropped.stage}:{dropped.reason}", value=dropped.value, threshold=dropped.threshold)
