"""The page stages in a row: one page in, its document or its fate out. Runs in the killable child, and in `explain`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.config import Config
from pipeline.deduplication.sketch import sketch_columns
from pipeline.documents import Document, Dropped, Page
from pipeline.stages.order import PAGE_STAGES
from pipeline.stages.protocol import Record, Stage
from pipeline.stages.scrub_pii import scrub
from pipeline.text import EXCERPT_CHARACTERS, cut_excerpt


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one page, and what it cost."""

    result: Document | Dropped
    sketch: Mapping[str, Any] = field(default_factory=dict)  # deduplication columns of a document
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)  # by stage


class Chain:
    """The configured page stages with their lists and models loaded."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.stages: dict[str, Stage] = {
            name: module.build(getattr(config, name)) for name, module in PAGE_STAGES.items()
        }

    def steps(self, page: Page) -> Iterator[tuple[str, Record | Dropped, float]]:
        """(stage, its answer, CPU seconds) until a stage drops the page or none is left."""
        record: Record = page
        for name, stage in self.stages.items():
            start = time.process_time()
            answer = _call(name, stage, record)
            yield name, answer, time.process_time() - start
            if isinstance(answer, Dropped):
                return
            record = answer

    def __call__(self, page: Page) -> Outcome:
        answer: Record | Dropped = page
        seconds = {}
        for name, answer, spent in self.steps(page):  # noqa: B007  the last answer is the result
            seconds[name] = spent
        if isinstance(answer, Dropped):
            return Outcome(self.presentable(answer), cpu_seconds=seconds)
        if not isinstance(answer, Document):
            raise TypeError(f"the last page stage answered a {type(answer).__name__}, not a Document")
        start = time.process_time()
        sketch = sketch_columns(answer, self.config.deduplicate)
        seconds["deduplicate"] = time.process_time() - start
        return Outcome(answer, sketch, seconds)

    def presentable(self, dropped: Dropped) -> Dropped:
        """The drop with a short excerpt and no personal data: what the ledger may show."""
        record = dropped.record
        language = record.language if isinstance(record, Document) else ""
        text = (record.text if isinstance(record, Document) else dropped.excerpt)[: 4 * EXCERPT_CHARACTERS]
        clean = cut_excerpt(self._scrub(text, language))
        if isinstance(record, Document):
            record = replace(record, title=self._scrub(record.title, language), text="")
        else:
            record = replace(record, content=b"")  # 140 kB that nobody needs on the way back
        detail = cut_excerpt(self._scrub(dropped.detail, language))
        return replace(dropped, record=record, detail=detail, excerpt=clean)

    def _scrub(self, text: str, language: str) -> str:
        return scrub(text, self.config.scrub_pii, language)[0]


def _call(name: str, stage: Stage, record: Record) -> Record | Dropped:
    """The stage's answer; a fault of ours costs the page, and its fate names the stage."""
    try:
        return stage(record)
    except MemoryError:
        raise
    except Exception as error:
        raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from error


def build_chain(config_json: str) -> Chain:
    """What the killable child builds once: the configuration travels as JSON, never as code."""
    return Chain(Config.model_validate_json(config_json))
