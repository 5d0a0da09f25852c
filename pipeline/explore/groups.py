"""Pages by language, site, domain and kind of personal data, and the clusters of duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.inspection.database import query_rows
from pipeline.pii.spans import PiiKind
from pipeline.reports.samples import mark_differences
from pipeline.stages.scrub_pii import SIGNAL_OF

if TYPE_CHECKING:
    import duckdb

GROUPS = {"language": "language", "site": "registered_domain", "domain": "domain"}
_LARGEST = 100
_MEMBERS = 12  # of a cluster
_COMPARED = 6_000  # characters of two texts


def list_groups(connection: duckdb.DuckDBPyConnection, by: str) -> list[dict[str, Any]]:
    """Kept and dropped pages and kept words of the largest groups; dropped pages have no domain."""
    column = GROUPS[by]
    dropped = "" if by == "domain" else f"UNION ALL SELECT {column}, 0, 1, 0 FROM dropped"  # noqa: S608
    rows = f"SELECT {column} AS name, 1 AS k, 0 AS d, words FROM kept {dropped}"  # noqa: S608 - a fixed name
    sums = "sum(k)::BIGINT AS kept, sum(d)::BIGINT AS dropped, sum(words)::BIGINT AS words"
    order = f"ORDER BY sum(k) + sum(d) DESC, name LIMIT {_LARGEST}"
    return query_rows(connection, f"SELECT name, {sums} FROM ({rows}) GROUP BY name {order}")  # noqa: S608


def count_personal_data(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Finds and pages by kind of personal data."""
    lines = []
    for kind in PiiKind:
        signal = SIGNAL_OF[kind]
        kept, dropped = (f"SELECT signals.{signal} AS n, {view} AS kept FROM {table}"  # noqa: S608 - fixed names
                         for view, table in (("true", "kept"), ("false", "dropped")))  # fmt: skip
        sums = "coalesce(sum(n), 0)::BIGINT AS finds, count(*) FILTER (n > 0 AND kept) AS kept"
        sums += ", count(*) FILTER (n > 0 AND NOT kept) AS dropped"
        found = query_rows(connection, f"SELECT {sums} FROM ({kept} UNION ALL {dropped})")  # noqa: S608
        lines.append({"kind": str(kind), "signal": signal, **found[0]})
    return [line for line in lines if line["finds"]]


def list_clusters(connection: duckdb.DuckDBPyConnection, page: int, size: int = 25) -> list[dict[str, Any]]:
    """Kept documents with duplicates, largest clusters first; one more than `size` where there are more."""
    columns = "part, row, id, url, title, duplicates, words"
    order = f"ORDER BY duplicates DESC, id LIMIT {size + 1} OFFSET {(page - 1) * size}"
    return query_rows(connection, f"SELECT {columns} FROM kept WHERE duplicates > 0 {order}")  # noqa: S608 - numbers


def read_cluster(connection: duckdb.DuckDBPyConnection, survivor: str) -> dict[str, Any] | None:
    """A kept document and the pages that were dropped for it, with the words that differ."""
    kept = query_rows(
        connection, "SELECT part, row, id, url, title, text, words FROM kept WHERE id = ? LIMIT 1", [survivor]
    )
    if not kept:
        return None
    columns = "part, row, id, url, reason, value, threshold, coalesce(text, excerpt) AS text, text IS NULL AS cut"
    sql = f"SELECT {columns} FROM dropped WHERE duplicate_of = ? ORDER BY id LIMIT {_MEMBERS}"  # noqa: S608
    members = query_rows(connection, sql, [survivor])
    for member in members:
        left = member["text"][:_COMPARED]
        right = kept[0]["text"][: len(left) + 50 if member["cut"] else _COMPARED]
        member["left"], member["right"] = mark_differences(left, right)
    return {**kept[0], "members": members}
