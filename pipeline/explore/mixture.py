"""Domains under other targets: what was asked, what came out, and what the weights make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.explore.measurements import to_toml_lines
from pipeline.inspection.database import query_rows
from pipeline.inspection.stored_run import StoredRun
from pipeline.publishing.weights import Cell, cell_of, compare_shares

if TYPE_CHECKING:
    import duckdb

Cells = tuple[Counter[Cell], Counter[str]]  # words by domain and quality, documents by domain


def count_cells(connection: duckdb.DuckDBPyConnection) -> Cells:
    """The words that weights are computed from."""
    words: Counter[Cell] = Counter()
    documents: Counter[str] = Counter()
    scores = "domain, quality_score, education_score"
    sql = f"SELECT {scores}, sum(words)::BIGINT AS words, count(*) AS pages FROM kept GROUP BY {scores}"  # noqa: S608
    for row in query_rows(connection, sql):
        words[cell_of(row)] += row["words"]
        documents[row["domain"]] += row["pages"]
    return words, documents


def weigh(run: StoredRun, cells: Cells, targets: Mapping[str, float]) -> dict[str, Any]:
    """The mixture with these target shares (in any unit) in place of the run's, and their TOML."""
    known = set(cells[1])
    if not set(targets) <= known or any(not 0 <= share <= 1e6 for share in targets.values()):
        raise UserError("no such domain, or no share")
    given = {f"publish.weights.shares.{domain}": f"{share:g}" for domain, share in targets.items()}
    config = load_config(None, [f"{name}={value}" for name, value in given.items()], base=run.settings)
    shares = [asdict(share) for share in compare_shares(*cells, config.publish.weights)]
    return {"domains": shares, "toml": to_toml_lines(given)}
