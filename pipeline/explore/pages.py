"""Search over all pages of a run, and one page: its row, its texts and what corrections took from them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.inspection.database import query, query_rows
from pipeline.inspection.explain import Explanation, explain_page
from pipeline.pii.spans import PLACEHOLDERS

if TYPE_CHECKING:
    import duckdb

PER_PAGE = 25
TEXT_BYTES = 60_000_000  # of Parquet, which DuckDB searches for words in about half a second
SORTS = {
    "id": "id",
    "url": "url",
    "words": "words",
    "quality": "quality_score",
    "value": "value",
    "measurement": "measurement",
}
_COLUMNS = "part, row, id, url, registered_domain, language"
_KEPT = f"SELECT true AS kept, {_COLUMNS}, title, domain, words, quality_score, 'kept' AS fate, NULL::DOUBLE AS value, "
_DROPPED = (
    f"SELECT false AS kept, {_COLUMNS}, NULL AS title, NULL AS domain, NULL AS words, NULL::DOUBLE AS quality_score, "
    "stage || ':' || reason AS fate, value, "
)
_PLACEHOLDER = re.compile("|".join(map(re.escape, sorted(PLACEHOLDERS, key=len, reverse=True))))


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, as in the address of the page; empty fields match everything."""

    fate: str = ""  # kept, dropped, a stage, or "stage:reason"
    url: str = ""  # a part of the URL
    host: str = ""  # host or registered domain
    language: str = ""
    domain: str = ""
    text: str = ""  # a part of the text, in any case
    signal: str = ""  # a measurement ...
    low: float | None = None  # ... at least
    high: float | None = None  # ... at most
    sort: str = "id"
    descending: bool = False
    page: int = 1
    everywhere: bool = False  # look for words in all parts, however long it takes

    @classmethod
    def from_query(cls, values: Mapping[str, str], signals: Sequence[str]) -> Search:
        """Raises UserError for values that no link of ours has."""
        signal, sort = values.get("signal", ""), values.get("sort", "id")
        if (signal and signal not in signals) or sort not in SORTS or (sort == "measurement" and not signal):
            raise UserError("no such measurement or order")
        texts = {name: values.get(name, "")[:300] for name in ("fate", "url", "host", "language", "domain", "text")}
        try:
            page = min(max(int(values.get("page") or 1), 1), 4_000)
            low, high = (float(values[name]) if values.get(name) else None for name in ("low", "high"))
        except ValueError:
            raise UserError("a number was expected") from None
        return cls(
            fate=texts["fate"],
            url=texts["url"],
            host=texts["host"],
            language=texts["language"],
            domain=texts["domain"],
            text=texts["text"],
            signal=signal,
            low=low,
            high=high,
            sort=sort,
            descending=values.get("order") == "desc",
            page=page,
            everywhere=bool(values.get("all")),
        )

    def to_query(self, **changes: Any) -> dict[str, str]:
        """The address of this search, with changes; the page is the first one unless it is given."""
        names = ("fate", "url", "host", "language", "domain", "text", "signal", "low", "high", "sort")
        values = {name: getattr(self, name) for name in names}
        values |= {
            "order": "desc" if self.descending else "",
            "all": "1" if self.everywhere else "",
            "page": "",
        } | changes
        return {
            name: str(value)
            for name, value in values.items()
            if value not in ("", None) and (name, value) != ("sort", "id")
        }


def count_parts_read(parts: Sequence[Mapping[str, Any]], search: Search) -> int:
    """How many parts are searched: for words of the text, as many as are read in a second."""
    if not search.text or search.everywhere:
        return len(parts)
    sizes = accumulate(part["bytes"] for part in parts)
    return max(len([size for size in sizes if size <= TEXT_BYTES]), 1)


def find_pages(
    connection: duckdb.DuckDBPyConnection, search: Search, parts_read: int
) -> tuple[list[dict[str, Any]], bool]:
    """The rows of one page of results in the first parts, and whether there are more."""
    parts, values = [], []
    for is_kept, head in ((True, _KEPT), (False, _DROPPED)):
        conditions = list(_conditions(search, is_kept))
        if all(condition != "false" for condition, _ in conditions):
            if search.text:
                conditions.append(("part < ?", [parts_read]))
            where = " AND ".join(condition for condition, _ in conditions) or "true"
            view = "kept" if is_kept else "dropped"
            parts.append(f"{head}{_measurement(search)} AS measurement FROM {view} WHERE {where}")
            values += [value for _, given in conditions for value in given]
    if not parts:
        return [], False
    order = f"{SORTS[search.sort]} {'DESC' if search.descending else 'ASC'} NULLS LAST, id, part, row"
    offset = (search.page - 1) * PER_PAGE
    union = " UNION ALL ".join(parts)
    rows = query_rows(connection, f"{union} ORDER BY {order} LIMIT {PER_PAGE + 1} OFFSET {offset}", values)
    return rows[:PER_PAGE], len(rows) > PER_PAGE


def _measurement(search: Search) -> str:
    return f'signals."{search.signal}"' if search.signal else "NULL::DOUBLE"


def _conditions(search: Search, is_kept: bool) -> Iterator[tuple[str, list[Any]]]:
    """(SQL, its values); "false" where no row of this kind can match."""
    yield from _fate_condition(search.fate, is_kept)
    if search.url:
        yield "contains(url, ?)", [search.url]
    if search.host:
        yield "(registered_domain = ? OR host = ?)", [search.host, search.host]
    if search.language:
        yield "language = ?", [search.language]
    if search.domain:
        yield ("domain = ?", [search.domain]) if is_kept else ("false", [])
    if search.text:
        column = "text" if is_kept else "coalesce(text, excerpt)"
        yield f"contains(lower({column}), ?)", [search.text.lower()]
    if search.low is not None:
        yield f"{_measurement(search)} >= ?", [search.low]
    if search.high is not None:
        yield f"{_measurement(search)} <= ?", [search.high]


def _fate_condition(fate: str, is_kept: bool) -> Iterator[tuple[str, list[Any]]]:
    stage, _, reason = fate.partition(":")
    if is_kept:
        if fate not in ("", "kept"):
            yield "false", []
    elif fate == "kept":
        yield "false", []
    elif reason:
        yield "stage = ? AND reason = ?", [stage, reason]
    elif fate not in ("", "dropped"):
        yield "stage = ?", [stage]


def read_page(connection: duckdb.DuckDBPyConnection, kind: str, part: int, row: int) -> dict[str, Any] | None:
    """A row of `kept` or `dropped`, all columns."""
    found = query_rows(connection, f"SELECT * FROM {kind} WHERE part = ? AND row = ?", [part, row])  # noqa: S608
    return {**found[0], "kept": kind == "kept"} if found else None


def find_survivor(connection: duckdb.DuckDBPyConnection, wanted: str) -> tuple[int, int] | None:
    """Part and row of a kept document."""
    rows = query(connection, "SELECT part, row FROM kept WHERE id = ? LIMIT 1", [wanted])[1]
    return (rows[0][0], rows[0][1]) if rows else None


Piece = tuple[str, str]  # text, and how it is shown: "", "placeholder", "removed"


def mark_placeholders(text: str) -> list[Piece]:
    """The text in pieces, placeholders of personal data apart."""
    pieces, end = [], 0
    for match in _PLACEHOLDER.finditer(text):
        pieces += [(text[end : match.start()], ""), (match[0], "placeholder")]
        end = match.end()
    return [piece for piece in [*pieces, (text[end:], "")] if piece[0]]


def replay_page(output: str, wanted: str) -> Explanation | None:
    """The page replayed from its place in the input. Raises UserError if its file is gone."""
    found = explain_page(wanted, output)
    return found[0] if found else None


def mark_removed(explanation: Explanation) -> list[Piece]:
    """The text as scrub_pii left it, with the lines that corrections and deduplication took marked as removed."""
    texts = [stage.after for stage in explanation.stages if stage.name == "scrub_pii" and stage.after is not None]
    last = next((stage.after for stage in reversed(explanation.stages) if stage.after is not None), None)
    if not texts or last is None:
        return []
    before, after = texts[0].split("\n"), last.split("\n")
    pieces: list[Piece] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            pieces += [(line + "\n", "removed") for line in before[i1:i2] if line.strip()]
        for line in after[j1:j2]:
            pieces += mark_placeholders(line + "\n")
    return pieces
