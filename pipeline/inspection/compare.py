"""`gristmill compare`: two runs beside each other; which pages changed their fate, and how much text that is.

A page is the same in both runs if its id is: URL, time and bytes of the capture. `changed` is the share of words that
differ: those of pages that only one run kept, and the differences of pages that both kept, over the first run's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.inspection.database import check_finished, open_run, query, query_rows
from pipeline.inspection.explain_text import printable
from pipeline.inspection.sample import format_table
from pipeline.reports.formatting import measure, share
from pipeline.storage.layout import read_manifest

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 3  # pages shown of each change of fate
_CHANGES = 30  # changes of fate printed

# One row a page. The number tells captures with one id apart (the same file read twice).
_FATES = """
CREATE TABLE IF NOT EXISTS fates AS
WITH both_kinds AS (
  SELECT 1 AS run, id, url, 'kept' AS fate, words, NULL AS value, NULL AS threshold, part, row FROM kept
  UNION ALL SELECT 1, id, url, stage || ':' || reason, 0, value, threshold, part, row FROM dropped
  UNION ALL SELECT 2, id, url, 'kept', words, NULL, NULL, part, row FROM other.kept
  UNION ALL SELECT 2, id, url, stage || ':' || reason, 0, value, threshold, part, row FROM other.dropped
), numbered AS (
  SELECT *, row_number() OVER (PARTITION BY run, id ORDER BY fate = 'kept' DESC, fate) AS n FROM both_kinds
)
SELECT coalesce(a.id, b.id) AS id, coalesce(a.url, b.url) AS url,
       coalesce(a.fate, 'not read') AS before, coalesce(b.fate, 'not read') AS after,
       coalesce(a.words, 0) AS words_before, coalesce(b.words, 0) AS words_after, a.part AS part, a.row AS row,
       a.value AS value_before, a.threshold AS limit_before, b.value AS value_after, b.threshold AS limit_after
FROM (FROM numbered WHERE run = 1) a FULL JOIN (FROM numbered WHERE run = 2) b ON a.id = b.id AND a.n = b.n
"""
_TOTALS = """
SELECT count(*) FILTER (before = 'kept') AS kept_before, count(*) FILTER (after = 'kept') AS kept_after,
       coalesce(sum(words_before), 0)::BIGINT AS words_before, coalesce(sum(words_after), 0)::BIGINT AS words_after,
       count(*) FILTER (before != after) AS pages_changed,
       coalesce(sum(abs(words_after - words_before)), 0)::BIGINT AS words_changed
FROM fates
"""
_CHANGED = """
SELECT before, after, count(*) AS pages,
       sum(words_before)::BIGINT AS words_before, sum(words_after)::BIGINT AS words_after
FROM fates WHERE before != after GROUP BY ALL ORDER BY pages DESC, before, after
"""
_SHARES = """
WITH a AS (SELECT {0} AS name, sum(words) / sum(sum(words)) OVER () AS share FROM kept GROUP BY 1),
     b AS (SELECT {0} AS name, sum(words) / sum(sum(words)) OVER () AS share FROM other.kept GROUP BY 1)
SELECT coalesce(a.name, b.name) AS name, coalesce(a.share, 0) AS before, coalesce(b.share, 0) AS after
FROM a FULL JOIN b ON a.name = b.name ORDER BY abs(after - before) DESC, name
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs; shares are of words, between 0 and 1."""

    same_content: bool  # equal content hashes
    kept_before: int
    kept_after: int
    words_before: int
    words_after: int
    pages_changed: int  # pages whose fate differs
    words_changed: int
    changes: list[dict[str, Any]]  # before, after, pages, words_before, words_after, examples
    domains: list[dict[str, Any]]  # name, before, after
    languages: list[dict[str, Any]]

    @property
    def changed(self) -> float:
        """Words that differ as a share of the first run's."""
        return self.words_changed / self.words_before if self.words_before else float(self.words_changed > 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "changed": round(self.changed, 6)}


def compare_runs(first: str, second: str) -> Comparison:
    """Reads both runs. Raises UserError for a folder that is no finished run."""
    with open_run(first, second) as connection:
        return compare_opened(connection, first, second)


def compare_opened(connection: duckdb.DuckDBPyConnection, first: str, second: str) -> Comparison:
    """The same over their opened database, in which it leaves the table that `list_changed` reads."""
    hashes = {read_manifest(check_finished(output))["content_hash"] for output in (first, second)}
    query(connection, _FATES)
    changes = query_rows(connection, _CHANGED)
    for change in changes:
        change["examples"] = list_changed(connection, change["before"], change["after"], EXAMPLES)
    return Comparison(
        same_content=len(hashes) == 1,
        changes=changes,
        domains=query_rows(connection, _SHARES.format("domain")),
        languages=query_rows(connection, _SHARES.format("language")),
        **query_rows(connection, _TOTALS)[0],
    )


def list_changed(
    connection: duckdb.DuckDBPyConnection, before: str, after: str, count: int, offset: int = 0
) -> list[dict[str, Any]]:
    """Pages with these two fates, with what was measured; `part` and `row` are of the first run, null without it."""
    columns = "id, url, value_before, limit_before, value_after, limit_after, before, part, row"
    sql = f"SELECT {columns} FROM fates WHERE before = ? AND after = ? ORDER BY id LIMIT ? OFFSET ?"  # noqa: S608
    return query_rows(connection, sql, [before, after, count, offset])


def describe_comparison(found: Comparison) -> str:
    """For a terminal."""
    lines = [
        "the contents are the same" if found.same_content else "the contents differ",
        f"kept     {found.kept_before:>12,} → {found.kept_after:,} pages",
        f"words    {found.words_before:>12,} → {found.words_after:,}",
        f"changed  {found.pages_changed:>12,} pages have another fate; {share(found.changed)} of the words differ",
    ]
    if found.changes:
        names = ["before", "after", "pages", "words before", "words after"]
        rows = [[change[name.replace(" ", "_")] for name in names] for change in found.changes[:_CHANGES]]
        lines += ["", format_table(names, rows).rstrip()]
        for change in found.changes[:_CHANGES]:
            lines += ["", f"{change['before']} → {change['after']}", *map(_describe_example, change["examples"])]
    for title, shares in (("domain", found.domains), ("language", found.languages)):
        moved = [line for line in shares if share(line["before"]) != share(line["after"])]
        if moved:
            rows = [[line["name"], share(line["before"]), share(line["after"])] for line in moved[:_CHANGES]]
            lines += ["", format_table([title, "share of words before", "after"], rows).rstrip()]
    return "\n".join(lines)


def _describe_example(row: Mapping[str, Any]) -> str:
    sides = [
        f"measured {measure(row[f'value_{side}'])}, limit {measure(row[f'limit_{side}'])}"
        for side in ("before", "after")
        if row[f"value_{side}"] is not None
    ]
    return f"  {printable(row['url']) or row['id']}" + (f" ({'; then '.join(sides)})" if sides else "")
