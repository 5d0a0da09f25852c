"""Replay of one page: the stages of its run on its WARC record, each with what it changed and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config
from pipeline.documents import Document, Dropped, Kind, Page, Rights
from pipeline.extraction.charset import Decoding
from pipeline.inspection.limits import Measurement, list_measurements
from pipeline.page_process.chain import Chain, open_worker
from pipeline.page_process.killable_process import PageLost
from pipeline.reading.file_formats import Format, format_of
from pipeline.stages.protocol import Record


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage did to the page."""

    name: str
    outcome: str  # passed, changed or dropped
    detail: str = ""
    reason: str = ""
    value: float | None = None
    threshold: float | None = None
    before: str | None = None  # the text before the stage, if there was one
    after: str | None = None
    measurements: tuple[Measurement, ...] = ()
    cpu_seconds: float = 0.0


def replay(page: Page | Dropped, row: Mapping[str, Any], chain: Chain) -> list[StageResult]:
    """All stages up to the page's fate; `row` is its row in shards/ or drops/, with a column `kept`."""
    results = list(_replay_page_stages(page, row, chain))
    return [*results, *_deduplicate(row, results[-1])]


def _replay_page_stages(page: Page | Dropped, row: Mapping[str, Any], chain: Chain) -> Iterator[StageResult]:
    if isinstance(page, Dropped):
        yield _report_drop(page, None)
        return
    kind = "text that was extracted before" if page.kind is Kind.TEXT else "HTML"
    reader = "read_warc" if format_of(page.warc_file) is Format.WARC else "read_documents"
    yield StageResult(reader, "passed", f"{len(page.content):,} bytes of {kind}")
    if not row["kept"] and row["stage"] == "page_process":
        yield _run_in_page_process(page, chain.config)  # it might end or block this process
        return
    record: Record = page
    for name, result, seconds in chain.steps(page):
        if isinstance(result, Dropped):
            yield _report_drop(result, record, seconds, chain.config)
            return
        yield _report_pass(name, record, result, seconds, chain.config)
        record = result


def _report_pass(name: str, before: Record, after: Record, seconds: float, config: Config) -> StageResult:
    old, new = _text_of(before), _text_of(after)
    return StageResult(
        name,
        "passed" if old == new else "changed",
        _describe(name, after) if isinstance(after, Document) else "",
        before=old,
        after=new,
        measurements=_new_measurements(name, before, after, config),
        cpu_seconds=round(seconds, 4),
    )


def _text_of(record: Record | None) -> str | None:
    return record.text if isinstance(record, Document) else None


def _describe(name: str, document: Document) -> str:
    """What the stage found, besides its signals."""
    if name == "check_rights":
        return _describe_rights(document.rights)
    if name == "identify_language":
        return f"{document.language} with a score of {document.language_score:.3f}"
    if name == "score_quality":
        return f"quality {document.quality_score:.3f}, education value {document.education_score:.2f} of 5"
    if name == "tag_domain":
        return f"{document.domain} with a probability of {document.domain_score:.3f}"
    if name == "extract_text":
        charset = list(Decoding)[int(document.signals["charset_step"])].value.replace("_", " ")
        return f"{len(document.text.split()):,} words, charset by {charset}, title: {document.title[:60]}"
    return ""


def _describe_rights(rights: Rights) -> str:
    opt_outs = ", ".join(rights.opt_outs) or "no opt-out"
    license = f"{rights.license} by {rights.license_place.replace('_', '-')}" if rights.license else "no license named"
    return f"{opt_outs}; {license}" + (", which another place of the page contradicts" * rights.license_disagrees)


def _new_measurements(name: str, before: Record | None, after: Record, config: Config) -> tuple[Measurement, ...]:
    if not isinstance(after, Document):
        return ()
    known = before.signals if isinstance(before, Document) else {}
    new = {key: value for key, value in after.signals.items() if key not in known}
    return list_measurements(name, new, after, getattr(config, name))


def _report_drop(
    drop: Dropped, before: Record | None, seconds: float = 0.0, config: Config | None = None
) -> StageResult:
    return StageResult(
        drop.stage,
        "dropped",
        drop.detail,
        str(drop.reason),
        drop.value,
        drop.threshold,
        _text_of(before),
        _text_of(drop.record) if isinstance(drop.record, Document) else drop.excerpt or None,
        _new_measurements(drop.stage, before, drop.record, config) if config else (),
        round(seconds, 4),
    )


def _run_in_page_process(page: Page, config: Config) -> StageResult:
    """Runs a page that exceeded its budget or crashed once more, in a process that can be killed."""
    with open_worker(config) as worker:
        outcome = worker.run(page)
    if isinstance(outcome, PageLost):
        return _report_drop(outcome.as_drop(page), None)
    return StageResult("page_process", "passed", "finished within its budget this time")


def _deduplicate(row: Mapping[str, Any], last: StageResult) -> list[StageResult]:
    """Taken from the ledger, because deduplication needs all pages; the text shows the removed lines."""
    if last.outcome == "dropped":
        return []
    if row["kept"]:
        changed = last.after != row["text"]
        outcome, detail = ("changed", "repeated lines were removed") if changed else ("passed", "")
        return [StageResult("deduplicate", outcome, detail, before=last.after, after=row["text"])]
    if row["stage"] == "deduplicate":
        measured = (row["reason"], row["value"], row["threshold"])
        return [StageResult("deduplicate", "dropped", row["detail"] or "", *measured, last.after)]
    return []
