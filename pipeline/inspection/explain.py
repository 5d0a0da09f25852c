"""`gristmill explain`: one page again through the run's own stages, from its WARC record to its fate.

The replay runs the real chain with the settings that the run stored, so it is the same code on the same bytes; whether
it comes to the same fate as the ledger is said at the end, and what has changed since when it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.documents import Document, Dropped, Kind, Page
from pipeline.extraction.charset import Decoding
from pipeline.inspection.find_pages import copies_of, find_by_id, find_pages, place_of, similar_urls
from pipeline.inspection.limits import Measure, measures
from pipeline.page_process.chain import Chain
from pipeline.page_process.killable_process import PageLost
from pipeline.prepare import open_worker
from pipeline.publishing.provenance import file_digests, versions
from pipeline.stages import read_warc
from pipeline.stages.protocol import Record
from pipeline.storage.layout import Layout, read_json
from pipeline.text import count_words, tokenize

_SHINGLE = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage did to the page."""

    name: str
    outcome: str  # passed, changed or dropped
    detail: str = ""
    reason: str = ""
    value: float | None = None
    threshold: float | None = None
    before: str | None = None  # text, where the stage had one
    after: str | None = None
    measures: tuple[Measure, ...] = ()
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """One capture: what the ledger says, what the replay says, and whether they agree."""

    url: str
    id: str
    fetched_at: str
    place: str
    ledger: str  # "kept" or "stage: reason"
    stages: tuple[Stage, ...]
    replayed: str
    agrees: bool
    survivor: Mapping[str, Any] | None  # the page that displaced this one
    copies: tuple[Mapping[str, Any], ...]  # the pages that this one displaced
    kept: Mapping[str, Any] | None  # what the shards say of it
    warnings: tuple[str, ...] = ()


def explain(wanted: str, output: str) -> list[Explanation]:
    """Every capture of the URL or id. Raises ValueError, with near matches, for one that the run has not seen."""
    layout = Layout(output)
    if not storage.exists(layout.manifest):
        raise ValueError(f"{output}: no manifest.json here; give the --output of a finished `gristmill curate`")
    rows = find_pages(layout, wanted)
    if not rows:
        near = similar_urls(layout, wanted)
        hint = f"; did you mean {' or '.join(near)}" if near else ""
        raise ValueError(f"{wanted}: no page of this URL or id in {output}{hint}")
    run = read_json(layout.run)
    config = Config.model_validate(run["settings"])
    changed = _changes(run["identity"], config)
    chain = Chain(config)
    return [_explain(row, layout, run["paths"], chain, changed) for row in rows]


def _changes(identity: Mapping[str, Any], config: Config) -> tuple[str, ...]:
    """What is not as it was when the run was made."""
    now: dict[str, Mapping[str, str]] = {"versions": versions(), "files": file_digests(config)}
    found = []
    for kind, values in now.items():
        different = sorted(key for key in {*values, *identity[kind]} if values.get(key) != identity[kind].get(key))
        if different:
            found.append(f"changed since the run: {', '.join(different[:6])}; the replay may differ")
    return tuple(found)


def _explain(
    row: Mapping[str, Any], layout: Layout, paths: Mapping[str, str], chain: Chain, changed: tuple[str, ...]
) -> Explanation:
    config = chain.config
    path = paths.get(row["warc_file"])
    if path is None or not storage.exists(path):
        raise ValueError(
            f"{row['warc_file']}: the file that the run read is not where it was ({path}); "
            "put it back there to replay its pages"
        )
    page = read_warc.read_record(path, row["warc_offset"], name=row["warc_file"], settings=config.read_warc)
    stages = list(_replay(page, row, chain))
    stages += _deduplicated(row, stages[-1])
    last = stages[-1]
    replayed = f"{last.name}: {last.reason}" if last.outcome == "dropped" else "kept"
    ledger = "kept" if row["kept"] else f"{row['stage']}: {row['reason']}"
    return Explanation(
        url=row["url"],
        id=row["id"],
        fetched_at=row["fetched_at"] or "",
        place=place_of(row),
        ledger=ledger,
        stages=tuple(stages),
        replayed=replayed,
        agrees=replayed == ledger,
        survivor=_survivor(row, layout, stages),
        copies=tuple(_short(copy) for copy in copies_of(layout, row["id"])) if row["kept"] else (),
        kept={name: row[name] for name in ("language", "quality_score", "domain", "words", "duplicates", "weight")}
        if row["kept"]
        else None,
        warnings=changed,
    )


def _replay(page: Page | Dropped, row: Mapping[str, Any], chain: Chain) -> Iterator[Stage]:
    """The page stages, each with what it changed and measured."""
    if isinstance(page, Dropped):
        yield _dropped(page, None)
        return
    what = "text that was extracted before (WET)" if page.kind is Kind.TEXT else "HTML"
    yield Stage("read_warc", "passed", f"{len(page.content):,} bytes of {what}")
    if not row["kept"] and row["stage"] == "page_process":
        yield _lost(page, chain.config)  # what killed the run's child would kill us, too
        return
    record: Record = page
    for name, answer, seconds in chain.steps(page):
        if isinstance(answer, Dropped):
            yield _dropped(answer, record, seconds, chain.config)
            return
        yield _passed(name, record, answer, seconds, chain.config)
        record = answer


def _passed(name: str, before: Record, after: Record, seconds: float, config: Config) -> Stage:
    old = before.text if isinstance(before, Document) else None
    new = after.text if isinstance(after, Document) else None
    detail = _scores(name, after) if isinstance(after, Document) else ""
    return Stage(
        name,
        "passed" if old == new else "changed",
        detail,
        before=old,
        after=new,
        measures=_measures(name, before, after, config),
        cpu_seconds=round(seconds, 4),
    )


def _scores(name: str, document: Document) -> str:
    if name == "identify_language":
        return f"{document.language} with a score of {document.language_score:.3f}"
    if name == "score_quality":
        return f"score {document.quality_score:.3f}"
    if name == "tag_domain":
        return f"{document.domain} with a probability of {document.domain_score:.3f}"
    if name == "extract_text":
        charset = list(Decoding)[int(document.signals["charset_step"])].value.replace("_", " ")
        return f"{count_words(document.text):,} words, charset by {charset}, title: {document.title[:60]}"
    return ""


def _measures(name: str, before: Record | None, after: Record, config: Config) -> tuple[Measure, ...]:
    if not isinstance(after, Document):
        return ()
    known = before.signals if isinstance(before, Document) else {}
    new = {key: value for key, value in after.signals.items() if key not in known}
    return measures(name, new, after, getattr(config, name))


def _dropped(answer: Dropped, before: Record | None, seconds: float = 0.0, config: Config | None = None) -> Stage:
    after = answer.record
    return Stage(
        answer.stage,
        "dropped",
        answer.detail,
        str(answer.reason),
        answer.value,
        answer.threshold,
        before.text if isinstance(before, Document) else None,
        after.text if isinstance(after, Document) else answer.excerpt or None,
        _measures(answer.stage, before, after, config) if config else (),
        round(seconds, 4),
    )


def _lost(page: Page, config: Config) -> Stage:
    with open_worker(config) as worker:
        answer = worker.run(page)
    if isinstance(answer, PageLost):
        return _dropped(answer.as_drop(page), None)
    return Stage("page_process", "passed", "came through this time, within its budget")


def _deduplicated(row: Mapping[str, Any], last: Stage) -> list[Stage]:
    """Deduplication needs all pages, so its part comes from the ledger; the lines that it took out are compared."""
    if last.outcome == "dropped":
        return []
    if not row["kept"] and row["stage"] == "deduplicate":
        return [
            Stage(
                "deduplicate", "dropped", row["detail"] or "", row["reason"], row["value"], row["threshold"], last.after
            )
        ]
    if row["kept"]:
        changed = last.after != row["text"]
        return [
            Stage("deduplicate", "changed" if changed else "passed", "repeated lines were taken out" if changed else "",
                  before=last.after, after=row["text"])
        ]  # fmt: skip
    return []


def _survivor(row: Mapping[str, Any], layout: Layout, stages: Sequence[Stage]) -> Mapping[str, Any] | None:
    if row["kept"] or not row["duplicate_of"]:
        return None
    found = find_by_id(layout, row["duplicate_of"])
    if found is None:
        return {"id": row["duplicate_of"], "url": "", "note": "not in this output: an earlier snapshot has it"}
    text = next((stage.after for stage in reversed(stages) if stage.after), "") or stages[-1].before or ""
    return {**_short(found), "similarity": row["value"], "jaccard": jaccard(text, found["text"]), "text": found["text"]}


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "url", "fetched_at", "quality_score", "words", "reason", "value")
    return {name: row[name] for name in names if row.get(name) is not None}


def jaccard(left: str, right: str) -> float:
    """Exact Jaccard similarity of the texts' word 5-grams, which the sketches estimate."""
    ours, theirs = (_shingles(tokenize(text)) for text in (left, right))
    return round(len(ours & theirs) / len(ours | theirs), 4) if ours or theirs else 1.0


def _shingles(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[n : n + _SHINGLE]) for n in range(len(words) - _SHINGLE + 1)}
