"""The page stages one after the other: from a page to a document or a drop. Used by the page process and `explain`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pipeline.config import Config
from pipeline.deduplication.minhash import shingle_hashes
from pipeline.deduplication.sketch import sketch_columns
from pipeline.documents import Document, Dropped, Halfway, Page
from pipeline.lists.suppressions import read_suppressions
from pipeline.page_process.killable_process import KillableWorker
from pipeline.stages import extract_text, suppress
from pipeline.stages.order import PAGE_STAGES
from pipeline.stages.protocol import Record, Stage
from pipeline.stages.scrub_pii import scrub
from pipeline.text import EXCERPT_CHARACTERS, cut_excerpt, tokenize

AFTER_EXTRACTION = list(PAGE_STAGES).index(extract_text.NAME) + 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of all stages for one page, and its cost."""

    result: Document | Dropped
    extracted: Document | None = None  # the document as extract_text left it, if it was asked for
    sketch: Mapping[str, Any] = field(default_factory=dict)  # deduplication columns of a document
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)  # by stage


class Chain:
    """The configured page stages with their lists and models loaded."""

    def __init__(self, config: Config, *, keep_extracted: bool = False) -> None:
        self.config = config
        self.keep_extracted = keep_extracted  # give the extracted document back, for reruns
        self.stages: dict[str, Stage] = {
            name: module.build(getattr(config, name)) for name, module in PAGE_STAGES.items()
        }
        self.removed = read_suppressions(config.suppress.lists)

    def steps(self, page: Page | Document | Halfway) -> Iterator[tuple[str, Record | Dropped, float]]:
        """(stage, its result, CPU seconds) for each stage, up to the one that drops the page or the last.

        A document, as extract_text left it, goes through the stages after that.
        """
        record: Record = page.document if isinstance(page, Halfway) else page
        for name, stage in islice(self.stages.items(), _first_stage(page), None):
            start = time.process_time()
            answer = _call(name, stage, record)
            yield name, answer, time.process_time() - start
            if isinstance(answer, Dropped):
                return
            record = answer
        if self.removed.texts and isinstance(record, Document):
            start = time.process_time()
            yield suppress.NAME, self._suppress_copy(record), time.process_time() - start

    def __call__(self, page: Page | Document | Halfway) -> Outcome:
        answer: Record | Dropped = page.document if isinstance(page, Halfway) else page
        seconds: dict[str, float] = {}
        extracted = page if isinstance(page, Document) else None
        for name, answer, spent in self.steps(page):
            seconds[name] = seconds.get(name, 0.0) + spent
            if name == extract_text.NAME and isinstance(answer, Document):
                extracted = answer
        extracted = extracted if self.keep_extracted else None
        if isinstance(answer, Dropped):
            return Outcome(self.prepare_for_ledger(answer), extracted, cpu_seconds=seconds)
        if not isinstance(answer, Document):
            raise TypeError(f"the last page stage returned a {type(answer).__name__}, not a Document")
        start = time.process_time()
        sketch = sketch_columns(answer, self.config.deduplicate)
        seconds["deduplicate"] = time.process_time() - start
        return Outcome(answer, extracted, sketch, seconds)

    def _suppress_copy(self, document: Document) -> Document | Dropped:
        """A document whose text is a copy of one that was removed is dropped like one that is named by its URL."""
        is_copy = self.removed.texts and self.removed.find_text(shingle_hashes(tokenize(document.text)))
        return suppress.drop_removed(document) if is_copy else document

    def prepare_for_ledger(self, dropped: Dropped) -> Dropped:
        """The drop as it goes into the ledger: with a short excerpt and without personal data."""
        record = dropped.record
        language = record.language if isinstance(record, Document) else ""
        text = (record.text if isinstance(record, Document) else dropped.excerpt)[: 4 * EXCERPT_CHARACTERS]
        clean = cut_excerpt(self._scrub(text, language))
        if isinstance(record, Document):
            whole = self._scrub(record.text, language) if self.config.prepare.drop_text else ""
            record = replace(record, title=self._scrub(record.title, language), text=whole)
        else:
            record = replace(record, content=b"")  # 140 kB on average, which the parent process has already
        detail = cut_excerpt(self._scrub(dropped.detail, language))
        return replace(dropped, record=record, detail=detail, excerpt=clean)

    def _scrub(self, text: str, language: str) -> str:
        return scrub(text, self.config.scrub_pii, language)[0]


def _first_stage(page: Page | Document | Halfway) -> int:
    """The number of the stage with which it begins."""
    if isinstance(page, Halfway):
        return list(PAGE_STAGES).index(page.stage) if page.stage in PAGE_STAGES else len(PAGE_STAGES)
    return AFTER_EXTRACTION if isinstance(page, Document) else 0


def _call(name: str, stage: Stage, record: Record) -> Record | Dropped:
    """The stage's result. An exception drops the page as crashed; its message names the stage."""
    try:
        return stage(record)
    except MemoryError:
        raise
    except Exception as error:
        raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from error


def build_chain(config_json: str, keep_extracted: bool = False) -> Chain:
    """Build the chain in the page process; the configuration is sent as JSON."""
    return Chain(Config.model_validate_json(config_json), keep_extracted=keep_extracted)


_started: list[tuple[Config, bool, KillableWorker]] = []  # at most one


def open_worker(config: Config, *, keep_extracted: bool = False) -> KillableWorker:
    """The page process, which runs the page stages, with this run's limits: the started one, if it has the settings."""
    with contextlib.suppress(IndexError):
        *started, worker = _started.pop()
        if started == [config, keep_extracted]:
            return worker
        worker.close()
    return KillableWorker(build_chain, (config.model_dump_json(), keep_extracted), config.page_process)


def start_worker(config: Config, *, keep_extracted: bool = False) -> None:
    """Start a page process, so that a list or model that cannot be used is reported now, and keep it for `open_worker`.

    Imports and models take a second of CPU.
    """
    worker = open_worker(config, keep_extracted=keep_extracted)
    worker.start()
    _started.append((config, keep_extracted, worker))


def close_started_worker() -> None:
    """End the page process that nobody has opened."""
    while _started:
        _started.pop()[-1].close()
