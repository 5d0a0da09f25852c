"""Votes of a reader on pages, kept and dropped mixed, without saying which; what they say about the filters.

Votes are kept in OUT/votes.sqlite. Pages come in the order of their ids' hashes, so they are a random sample of the
kept pages and of the dropped pages that have a text; both kinds come in turn.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.data.sampling import split_of
from pipeline import storage
from pipeline.errors import UserError
from pipeline.inspection.database import query, query_rows
from pipeline.storage.layout import Layout
from pipeline.storage.paths import local_path
from pipeline.text import cut_excerpt

if TYPE_CHECKING:
    import duckdb

VOTES = ("good", "bad", "unsure")
LABELS = {"bad": "crawl", "good": "cited"}  # the names of the shipped quality model
_DRAWS = 20_000  # of the interval
_AHEAD = 20  # pages looked at for one without a vote
_TEXT = "stage != 'deduplicate' AND length(coalesce(text, excerpt)) > 0"


class VoteStore:
    """The votes on the pages of a run."""

    def __init__(self, layout: Layout) -> None:
        self.path = local_path(storage.join(layout.root, "votes.sqlite"))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
                connection.execute("CREATE TABLE IF NOT EXISTS votes (id TEXT PRIMARY KEY, kept INTEGER, vote TEXT)")
                yield connection
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: votes cannot be stored ({error})") from None

    def vote(self, page: str, kept: bool, vote: str) -> None:
        """Stores a vote; a later one on the same page replaces it."""
        if vote not in VOTES:
            raise UserError("no such vote")
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO votes VALUES (?, ?, ?)", (page, int(kept), vote))

    def read(self) -> dict[str, tuple[bool, str]]:
        """Whether the page is kept, and the vote, by id."""
        if not storage.exists(self.path):
            return {}
        with self._open() as connection:
            return {page: (bool(kept), vote) for page, kept, vote in connection.execute("SELECT * FROM votes")}


def next_page(connection: duckdb.DuckDBPyConnection, votes: Mapping[str, tuple[bool, str]]) -> dict[str, Any] | None:
    """A page without a vote: of the kind that has fewer votes. All texts are cut alike, which hides the kind."""
    kept_votes = sum(kept for kept, _ in votes.values())
    kinds = ["kept", "dropped"] if 2 * kept_votes <= len(votes) else ["dropped", "kept"]
    for kind in kinds:
        where = _TEXT if kind == "dropped" else "true"
        done = sum(kept is (kind == "kept") for kept, _ in votes.values())
        text = "coalesce(text, excerpt)" if kind == "dropped" else "text"
        sql = f"SELECT id, url, {text} AS text FROM {kind} WHERE {where} ORDER BY md5(id) LIMIT {done + _AHEAD}"  # noqa: S608
        for row in query_rows(connection, sql):
            if row["id"] not in votes:
                return {**row, "text": cut_excerpt(row["text"])}
    return None


def is_kept(connection: duckdb.DuckDBPyConnection, page: str) -> bool:
    """Raises UserError for an id that the run does not have."""
    sql = "SELECT true FROM kept WHERE id = ? UNION ALL SELECT false FROM dropped WHERE id = ? LIMIT 1"
    rows = query(connection, sql, [page, page])[1]
    if not rows:
        raise UserError("no such page")
    return bool(rows[0][0])


def count_judged(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Kept pages, and dropped pages with a text."""
    sql = f"SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM dropped WHERE {_TEXT})"  # noqa: S608
    kept, dropped = query(connection, sql)[1][0]
    return kept, dropped


def score_filters(votes: Mapping[str, tuple[bool, str]], kept: int, dropped: int) -> dict[str, Any]:
    """Precision (of the kept pages, the share of good ones) and recall (of all good pages, the share kept).

    With 95% intervals: of Jeffreys' posterior of the two shares of good pages, weighted by the pages of each kind.
    """
    good, bad = (
        [sum(k is kind and v == vote for k, v in votes.values()) for kind in (True, False)] for vote in VOTES[:2]
    )
    random = np.random.default_rng(0)
    shares = [random.beta(g + 0.5, b + 0.5, _DRAWS) for g, b in zip(good, bad, strict=True)]
    found = {"good": good, "bad": bad, "unsure": len(votes) - sum(good) - sum(bad)}
    recalls = kept * shares[0] / np.maximum(kept * shares[0] + dropped * shares[1], 1e-12)
    for name, draws, known in (
        ("precision", shares[0], good[0] + bad[0] > 0),
        ("recall", recalls, min(good[0] + bad[0], good[1] + bad[1]) > 0),
    ):
        low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975]).tolist() if known else (None, None, None)
        found[name] = {"value": middle, "low": low, "high": high}
    return found


def export_labels(connection: duckdb.DuckDBPyConnection, votes: Mapping[str, tuple[bool, str]]) -> Iterator[str]:
    """JSON lines as `gristmill classify sample` writes them, for `gristmill classify train quality --sample`.

    Good pages have the label of pages that are cited, bad ones that of others.
    """
    chosen = {page: vote for page, (_, vote) in votes.items() if vote != "unsure"}
    marks = ", ".join("?" for _ in chosen) or "NULL"
    columns = "id, url, registered_domain"
    kept = f"SELECT {columns}, title, text FROM kept WHERE id IN ({marks})"  # noqa: S608 - question marks
    dropped = f"SELECT {columns}, '' AS title, coalesce(text, excerpt) AS text FROM dropped WHERE id IN ({marks})"  # noqa: S608
    for row in query_rows(connection, f"{kept} UNION ALL {dropped} ORDER BY id", [*chosen, *chosen]):
        group = row.pop("registered_domain") or row["id"]
        vote = {"label": LABELS[chosen[row["id"]]], "split": str(split_of(group)), "group": group, "match": ""}
        yield json.dumps({**row, "source": "votes", **vote}, ensure_ascii=False) + "\n"
