"""What changed settings change: totals with an interval where they are not exact, and who is lost and won."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pipeline.config import Config
from pipeline.inspection.database import open_run, query_rows
from pipeline.inspection.stored_run import StoredRun
from pipeline.publishing.weights import Cell, DomainShare, WeightSettings, cell_of, compare_shares, removed_words
from pipeline.storage.layout import read_manifest
from pipeline.whatif.estimates import Estimate
from pipeline.whatif.limits import Limit, deciding_values, list_limits

EXAMPLES = 20  # pages shown of each side
_RANKED = 20  # rules, domains, languages and hosts


@dataclass(frozen=True, slots=True)
class PageChange:
    """A page that is lost or won."""

    id: str
    url: str
    host: str  # registered domain
    domain: str
    language: str
    words: int
    before: str  # "kept" or "stage:reason"
    after: str
    won: bool
    measurement: str = ""  # that decides
    value: float | None = None
    old_limit: float | None = None
    new_limit: float | None = None

    @property
    def rule(self) -> str:
        """The fate outside the shards, by which lost and won pages are counted."""
        return self.before if self.won else self.after


@dataclass(frozen=True, slots=True)
class Side:
    """All pages that are lost, or all that are won."""

    pages: int
    words: int
    by_rule: dict[str, int]  # pages, largest first
    by_domain: dict[str, int]
    by_language: dict[str, int]
    by_host: dict[str, int]
    examples: list[PageChange]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of `gristmill whatif`. With `exact` false, lost and won are those of the replayed pages."""

    changed: list[str]  # settings
    kept_before: int
    kept_after: int
    words_before: int
    words_after: int
    exact: bool
    kept_interval: tuple[int, int] | None
    words_interval: tuple[int, int] | None
    undecided: int  # pages that stored measurements do not decide
    replayed: int
    lost: Side
    won: Side
    mixture: list[dict[str, Any]]  # by domain: words, share, weighted share, repetitions before and after
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; the intervals only where it is not exact."""
        values = asdict(self)
        if self.exact:
            values = {name: value for name, value in values.items() if not name.endswith("_interval")}
        return values


def make_answer(
    run: StoredRun,
    config: Config,
    changed: Sequence[str],
    changes: Iterable[PageChange],
    *,
    kept_before: int,
    words_before: int,
    kept: Estimate,
    words: Estimate,
    unknown: int,
    replayed: int,
    exact: bool,
    cells: Any,
) -> Answer:
    """Puts the parts together."""
    pages = _add_measurements(run, config, list(changes))
    warnings = run.changes() if replayed else ()
    exact = exact and not warnings
    return Answer(
        changed=list(changed),
        kept_before=kept_before,
        kept_after=round(kept.value),
        words_before=words_before,
        words_after=round(words.value),
        exact=exact,
        kept_interval=None if exact else (max(int(kept.low), 0), int(-(-kept.high // 1))),
        words_interval=None if exact else (max(int(words.low), 0), int(-(-words.high // 1))),
        undecided=unknown,
        replayed=replayed,
        lost=_side([page for page in pages if not page.won]),
        won=_side([page for page in pages if page.won]),
        mixture=_mixture(run, config, cells),
        warnings=warnings,
    )


def _side(pages: Sequence[PageChange]) -> Side:
    def ranked(name: str) -> dict[str, int]:
        counts = Counter(getattr(page, name) for page in pages)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_RANKED])

    ordered = sorted(pages, key=lambda page: page.id)
    words = sum(page.words for page in pages)
    sums = (ranked("rule"), ranked("domain"), ranked("language"), ranked("host"))
    return Side(len(pages), words, *sums, ordered[:EXAMPLES])


def _add_measurements(run: StoredRun, config: Config, pages: list[PageChange]) -> list[PageChange]:
    """The deciding measurement of the pages that will be shown, with the old and the new limit."""
    sides = [sorted(page.id for page in pages if page.won is won)[:EXAMPLES] for won in (False, True)]
    wanted = {*sides[0], *sides[1]}
    if not wanted:
        return pages
    old, new = (deciding_values(list_limits(settings)) for settings in (run.config, config))
    with open_run(str(run.layout.root)) as connection:
        found = _read_measurements(connection, wanted)
    return [_measure(page, old, new, found) if page.id in wanted else page for page in pages]


def _read_measurements(connection: Any, wanted: set[str]) -> dict[str, dict[str, Any]]:
    values = list(wanted)
    marks = ", ".join("?" for _ in values)
    kept = f"SELECT id, signals, language_score, quality_score, education_score FROM kept WHERE id IN ({marks})"  # noqa: S608
    dropped = f"SELECT id, signals, stage || ':' || reason AS fate, value FROM dropped WHERE id IN ({marks})"  # noqa: S608
    rows = [*query_rows(connection, kept, values), *query_rows(connection, dropped, values)]
    return {row["id"]: row for row in rows}


def _measure(
    page: PageChange,
    old: Mapping[str, list[Limit]],
    new: Mapping[str, list[Limit]],
    found: Mapping[str, dict[str, Any]],
) -> PageChange:
    row = found.get(page.id, {})
    for before, after in zip(old.get(page.rule, []), new.get(page.rule, []), strict=True):
        name = before.measurement.removeprefix("signals.")
        value = (row.get("signals") or {}).get(name, row.get(name))
        if value is None and row.get("fate") == page.rule:
            value = row.get("value")
        decides = before if page.won else after
        if value is not None and decides.value is not None and _breaks(value, decides):
            return replace(page, measurement=name, value=value, old_limit=before.value, new_limit=after.value)
    return page


def _breaks(value: float, limit: Limit) -> bool:
    bound = limit.value or 0.0
    return value < bound if limit.at_least else value > bound


def _mixture(run: StoredRun, config: Config, documents: Any) -> list[dict[str, Any]]:
    """Domains before and after: of a sample, those of the documents in it.

    The weights before are those of the shards, which may count removed words; a new run would not have them.
    """
    rows = documents.table.select(["domain", "quality_score", "education_score"]).to_pylist()
    kept_words = documents.table["kept_words"].fill_null(0).to_pylist()
    removed = removed_words(read_manifest(run.layout))
    before = _shares(rows, kept_words, documents.before, run.config.publish.weights, removed)
    after = _shares(rows, documents.words.tolist(), documents.after, config.publish.weights)
    none = DomainShare("", 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    lines = []
    for domain in dict.fromkeys([*before, *after]):
        pair = before.get(domain, none), after.get(domain, none)
        line = {f"{name}_{side}": getattr(share, name) for name in ("words", "actual", "weighted", "repetitions")
                for side, share in zip(("before", "after"), pair, strict=True)}  # fmt: skip
        lines.append({"domain": domain, **line})
    return lines


def _shares(
    rows: Sequence[Mapping[str, Any]],
    words: Sequence[int],
    kept: Any,
    settings: WeightSettings,
    removed: Mapping[Cell, int] | None = None,
) -> dict[str, DomainShare]:
    cells: Counter[Cell] = Counter()
    documents: Counter[str] = Counter()
    for number in np.flatnonzero(kept).tolist():
        cells[cell_of(rows[number])] += words[number]
        documents[rows[number]["domain"]] += 1
    return {share.domain: share for share in compare_shares(cells, documents, settings, removed)}
