"""`gristmill sample` and `gristmill sql`: documents of a finished run, and answers to questions about it."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import UserError
from pipeline.inspection.database import open_run, query, query_rows
from pipeline.inspection.explain_text import WIDTH, printable
from pipeline.reports.formatting import measure

CELL = 60  # characters shown of a value in a table


def sample_pages(output: str, count: int, dropped: str | None, where: str | None, seed: int) -> list[dict[str, Any]]:
    """Random rows of `kept`, or of `dropped` by "stage", "reason", "stage:reason" or "" (any).

    The choice depends on the ids and the seed only. `where` is an SQL condition over the columns. Raises UserError for
    a condition that DuckDB refuses, and where no page fits.
    """
    conditions, values = [], []
    if dropped:
        stage, _, reason = dropped.rpartition(":")
        conditions.append("(stage = ? AND reason = ?)" if stage else "(stage = ? OR reason = ?)")
        values += [stage, reason] if stage else [reason, reason]
    if where:
        conditions.append(f"({where}\n)")
    view = "kept" if dropped is None else "dropped"
    condition = " AND ".join(conditions) or "true"
    with open_run(output) as connection:
        sql = f"SELECT * FROM {view} WHERE {condition} ORDER BY md5(id || ?), part, row LIMIT ?"  # noqa: S608
        rows = query_rows(connection, sql, [*values, str(seed), count])
        if not rows and dropped:
            raise UserError(f"no dropped page fits; {_known_fates(connection)}")
    if not rows:
        raise UserError("no page fits")
    return rows


def _known_fates(connection: Any) -> str:
    fates = query(connection, "SELECT DISTINCT stage || ':' || reason AS fate FROM dropped ORDER BY 1")[1]
    return f"pages were dropped for {', '.join(fate for (fate,) in fates) or 'no reason'}"


def describe_pages(rows: Sequence[Mapping[str, Any]], characters: int) -> str:
    """The documents for a terminal: address, fate, and at most `characters` of each text."""
    rule = "═" * WIDTH
    return f"\n{rule}\n".join("\n".join(_describe_page(row, characters)) for row in rows)


def _describe_page(row: Mapping[str, Any], characters: int) -> Iterator[str]:
    yield printable(row["url"]) or "(no URL)"
    yield f"id {row['id']}   {printable(row['fetched_at'] or '')}"
    if "weight" in row:
        yield (
            f"kept   {row['language']}   {row['domain']}   quality {row['quality_score']:.2f}   {row['words']:,} words"
            f"   weight {row['weight']:.2f}   {row['duplicates']:,} duplicates"
        )
        yield from textwrap.wrap(printable(row["title"]), WIDTH)
    else:
        yield "dropped   " + _describe_fate(row)
    text = row["text"] if row["text"] is not None else row["excerpt"] or ""
    yield ""
    for line in text[:characters].splitlines():
        yield from textwrap.wrap(printable(line), WIDTH) or [""]
    if len(text) > characters:
        yield f"… {len(text) - characters:,} more characters …"


def _describe_fate(row: Mapping[str, Any]) -> str:
    fate = f"{row['stage']}: {row['reason']}"
    if row["value"] is not None:
        fate += f"   measured {measure(row['value'])}"
    if row["threshold"] is not None:
        fate += f"   limit {measure(row['threshold'])}"
    detail = printable(row["detail"] or "")
    of = f"   duplicate of {row['duplicate_of']}" if row["duplicate_of"] else ""
    return f"{fate}{'   ' + detail if detail else ''}{of}"


def run_sql(output: str, statement: str, form: str) -> str:
    """The result of an SQL statement as `table`, `csv` or `json` (one object a line)."""
    with open_run(output) as connection:
        names, rows = query(connection, statement)
    if form == "json":
        return "".join(
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=str) + "\n" for row in rows
        )
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, *rows])
        return text.getvalue()
    return format_table(names, rows)


def format_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns, numbers to the right; long values are cut.

    >>> print(format_table(["word", "n"], [["a", 1], ["bcd", 20]]), end="")
    word   n
    a      1
    bcd   20
    """
    numeric = [all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(names))]
    cells = [[_cell(value) for value in row] for row in [names, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "".join(f"{line}\n" for line in lines)


def _cell(value: Any) -> str:
    text = printable(" ".join(str("" if value is None else value).split()))
    return text if len(text) <= CELL else text[: CELL - 1] + "…"
