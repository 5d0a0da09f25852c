"""From changed settings to what they change: limits, replayed pages, deduplication again, words and weights.

    fates        every page under the new settings, by SQL over stored measurements            exact
    replays      pages that leave what is stored, from their place in the input                all, or a sample
    candidates   documents that still reach deduplication, and replayed ones that now do
    verdicts     deduplication of them, from stored keys and sketches                          exact without a sample

With a sample, pages that the run had dropped are drawn apart from candidates. Duplicates among those that are not drawn
are bounded, and what the drawn ones displace is scaled (see estimates). A candidate that was not drawn keeps its old
keys in deduplication: that texts become equal by the change is not expected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config import Config
from pipeline.deduplication.in_memory import deduplicate_table
from pipeline.deduplication.settings import Keep
from pipeline.errors import UserError
from pipeline.inspection.database import open_run
from pipeline.inspection.stored_run import StoredRun, read_stored_run
from pipeline.publishing.candidates import count_words_left
from pipeline.publishing.provenance import settings_as_json
from pipeline.reports.samples import changed_settings
from pipeline.storage.layout import read_manifest
from pipeline.whatif.answer import Answer, PageChange, make_answer
from pipeline.whatif.estimates import Estimate, Newcomers, estimate_newcomers, estimate_sum, known
from pipeline.whatif.limits import UNKNOWN, build_cases, fate_expression
from pipeline.whatif.replay_pages import ReplayedPage, is_readable, replay_pages
from pipeline.whatif.run_tables import CANDIDATE_COLUMNS, PlaceOrder, add_pages, make_table, read_candidates, read_fates

Array = np.typing.NDArray[Any]
REPLAYED = 300  # pages by default: about ten seconds
_SMALLEST_DRAW = 30  # of a group


@dataclass(slots=True)
class Documents:
    """Candidates, old and new, in the order of deduplication, with what becomes of them."""

    table: pa.Table
    before: Array  # kept by the run
    after: Array  # kept under the new settings
    words: Array  # under the new settings, 0 where not kept
    fates: list[str]  # under the new settings
    newcomer: Array  # dropped before deduplication by the run
    survivors: list[str | None] = field(default_factory=list)  # id of the better duplicate of those that are dropped


@dataclass(frozen=True, slots=True)
class Draw:
    """The pages that nothing stored decides, and those of them that were replayed."""

    candidates: list[dict[str, Any]]  # all of them that had reached deduplication
    others: list[dict[str, Any]]
    replayed: list[ReplayedPage]

    @property
    def complete(self) -> bool:
        return len(self.replayed) == len(self.candidates) + len(self.others)


def what_if(output: str, config: Config, replay: int | None = REPLAYED) -> Answer:
    """What `config` would change in a finished run. `replay`: pages replayed at most; None: all that are needed.

    Raises UserError for a folder that is no finished run, and for settings whose effect needs one.
    """
    run = read_stored_run(output)
    if not read_manifest(run.layout)["candidates"]:
        raise UserError(f"{output}: has no candidates/, which this version of gristmill writes; curate it again")
    changed = [name for name, _, _ in changed_settings(settings_as_json(config), settings_as_json(run.config))]
    expression = fate_expression(build_cases(run.config, config, changed))
    with open_run(output) as connection:
        add_pages(connection)
        fates = read_fates(connection, expression, "place IS NOT NULL OR fate != after")
    draw = _draw(run, config, fates, replay)
    documents = _decide(run, config, fates, draw)
    settings = [name for name in changed if not name.startswith(("prepare.",))]
    return make_answer(run, config, settings, _changes(documents, fates, draw), **_totals(documents, config, draw))


def _draw(run: StoredRun, config: Config, fates: Sequence[dict[str, Any]], replay: int | None) -> Draw:
    unknown = [row for row in fates if row["after"] == UNKNOWN]
    groups = [[row for row in unknown if (row["place"] is None) is new] for new in (False, True)]
    if replay is not None and len(unknown) > replay:
        counts = _share_out(len(groups[0]), len(groups[1]), replay)
        chosen = [_choose(group, count) for group, count in zip(groups, counts, strict=True)]
    else:
        chosen = groups
    readable = [row for group in chosen for row in group if is_readable(run, row)]
    return Draw(groups[0], groups[1], list(replay_pages(run, config, readable)))


def _share_out(candidates: int, others: int, replay: int) -> tuple[int, int]:
    """How many of each group are replayed: in proportion, but at least a few of the smaller one.

    >>> _share_out(1000, 9000, 300), _share_out(0, 50, 20)
    ((30, 270), (0, 20))
    """
    few = min(_SMALLEST_DRAW, replay // 2)
    share = round(replay * candidates / (candidates + others))
    count = min(max(share, min(few, candidates)), max(replay - min(few, others), 0), candidates)
    return count, min(replay - count, others)


def _choose(group: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """A random choice: ids are hashes."""
    return sorted(group, key=lambda row: (row["id"], row["warc_file"], row["warc_offset"]))[:count]


def _decide(run: StoredRun, config: Config, fates: Sequence[dict[str, Any]], draw: Draw) -> Documents:
    old = read_candidates(run)
    rows = {(row["part"], row["place"]): row for row in fates if row["place"] is not None}
    places = zip(old["part"].to_pylist(), old["place"].to_pylist(), strict=True)
    fate = [rows[place]["after"] for place in places]
    replayed = {
        (page.page["part"], page.page["place"]): page for page in draw.replayed if page.page["place"] is not None
    }
    new = [page.document for page in draw.replayed if page.page["place"] is None and page.document]
    reaches = np.array([after in ("kept", UNKNOWN) or after.startswith("deduplicate:") for after in fate], bool)
    before = old["kept"].to_numpy(zero_copy_only=False)
    if draw.complete and replayed:
        old, reaches, fate = _replace_replayed(old, reaches, fate, replayed)
    table = pa.concat_tables([old, make_table(new, old)]).combine_chunks()
    documents = Documents(
        table,
        before=np.concatenate([before, np.zeros(len(new), bool)]),
        after=np.concatenate([reaches, np.ones(len(new), bool)]),
        words=np.zeros(table.num_rows, np.int64),
        fates=[*fate, *["kept"] * len(new)],
        newcomer=np.concatenate([np.zeros(len(fate), bool), np.ones(len(new), bool)]),
    )
    if new:
        documents = _sort(documents, PlaceOrder(run).sort(table))
    return deduplicate(documents, config)


def _replace_replayed(
    old: pa.Table, reaches: Array, fate: list[str], replayed: Mapping[tuple[int, int], ReplayedPage]
) -> tuple[pa.Table, Array, list[str]]:
    """Candidates with other texts: their new keys, or their drop."""
    rows = old.to_pylist()
    for number, row in enumerate(rows):
        page = replayed.get((row["part"], row["place"]))
        if page is not None:
            fate[number] = "kept" if page.document else page.fate
            reaches[number] = page.document is not None
            if page.document:
                row.update({name: page.document[name] for name in CANDIDATE_COLUMNS})
    return pa.Table.from_pylist(rows, old.schema), reaches, fate


def _sort(documents: Documents, order: Array) -> Documents:
    return Documents(
        documents.table.take(order),
        **{name: getattr(documents, name)[order] for name in ("before", "after", "words", "newcomer")},
        fates=[documents.fates[number] for number in order.tolist()],
    )


def deduplicate(documents: Documents, config: Config) -> Documents:
    """Deduplication of the documents in `after`; those that it drops are taken out."""
    chosen = np.flatnonzero(documents.after)
    after, words, fates = documents.after.copy(), np.zeros(len(documents.after), np.int64), list(documents.fates)
    survivors: list[str | None] = [None] * len(fates)
    if len(chosen):
        table = documents.table.take(chosen)
        verdicts, _ = deduplicate_table(table, config.deduplicate)
        whole, line_words = table["words"].to_pylist(), table["line_words"].to_pylist()
        for number, place in enumerate(chosen.tolist()):
            reason, removed = verdicts["reason"][number], verdicts["remove"][number]
            after[place] = reason is None
            fates[place] = f"deduplicate:{reason}" if reason else "kept"
            survivors[place] = verdicts["survivor"][number]
            if reason is None:
                words[place] = count_words_left(line_words[number], removed) if removed else whole[number]
    return replace(documents, after=after, words=words, fates=fates, survivors=survivors)


def _totals(documents: Documents, config: Config, draw: Draw) -> dict[str, Any]:
    """Pages and words before and after."""
    before = documents.table["kept_words"].fill_null(0).to_numpy()
    kept, words = known(float(documents.after.sum())), known(float(documents.words.sum()))
    usual = float(before[documents.before].mean()) if documents.before.any() else 300.0
    if not draw.complete:
        kept, words = _estimate(documents, config, draw, usual)
    return {
        "kept_before": int(documents.before.sum()),
        "words_before": int(before.sum()),
        "kept": kept,
        "words": words,
        "unknown": len(draw.candidates) + len(draw.others),
        "replayed": len(draw.replayed),
        "exact": draw.complete,
        "cells": documents,
    }


def _estimate(documents: Documents, config: Config, draw: Draw, usual: float) -> tuple[Estimate, Estimate]:
    """Kept pages and words, from the drawn pages."""
    kept, words = _estimate_candidates(documents, draw, usual)
    if draw.others:
        fresh = documents.newcomer & documents.after
        new_kept, new_words = estimate_newcomers(_find_newcomers(documents, config, draw), usual)
        kept = kept.plus(known(float(fresh.sum()))).plus(new_kept)
        words = words.plus(known(float(documents.words[fresh].sum()))).plus(new_words)
    return kept, words


def _find_newcomers(documents: Documents, config: Config, draw: Draw) -> Newcomers:
    """What deduplication does with the drawn pages that the run had dropped, beside what it does without them."""
    fresh, ids = documents.newcomer & documents.after, documents.table["id"].to_pylist()
    new_ids = {ids[number] for number in np.flatnonzero(documents.newcomer)}
    # A drawn page counts in a group if no known document is the better one.
    groups = Counter(ids[number] for number in np.flatnonzero(fresh))
    groups.update(
        survivor
        for number in np.flatnonzero(documents.newcomer & ~documents.after)
        if (survivor := documents.survivors[number]) in new_ids
    )
    reaches = [fate == "kept" or fate.startswith("deduplicate:") for fate in documents.fates]
    before = deduplicate(replace(documents, after=np.array(reaches, bool) & ~documents.newcomer), config)
    whole = documents.table["words"].to_numpy()
    displaced, freed = (
        documents.words[both] if side else before.words[both]
        for side, both in enumerate((before.after & ~documents.after, documents.after & ~before.after & ~fresh))
    )
    return Newcomers(
        pages=len(draw.others),
        drawn=sum(page.page["place"] is None for page in draw.replayed),
        words=documents.words[fresh].tolist(),
        groups=list(groups.values()),
        displaced=displaced.tolist(),
        freed=freed.tolist(),
        known_kept=_size(before.after, before.words),
        known_dropped=_size(np.array(reaches, bool) & ~before.after & ~documents.newcomer, whole),
        one_stays=config.deduplicate.keep is not Keep.NONE,
    )


def _size(pages: Array, words: Array) -> tuple[float, float]:
    return float(pages.sum()), float(words[pages].sum())


def _estimate_candidates(documents: Documents, draw: Draw, usual: float) -> tuple[Estimate, Estimate]:
    """Known documents, and those of which the new text or fate is known for the drawn ones only."""
    undecided = {(row["part"], row["place"]) for row in draw.candidates}
    places = list(zip(documents.table["part"].to_pylist(), documents.table["place"].to_pylist(), strict=True))
    is_known = np.array([place not in undecided for place in places], bool) & ~documents.newcomer
    kept, words = known(float(documents.after[is_known].sum())), known(float(documents.words[is_known].sum()))
    by_place = {place: number for number, place in enumerate(places)}
    drawn = [page for page in draw.replayed if page.page["place"] is not None]
    if not draw.candidates:
        return kept, words
    sums, freed = [], []
    for page in drawn:
        number = by_place[page.page["part"], page.page["place"]]
        is_kept = bool(documents.after[number])
        sums.append(float(page.document["words"]) if page.document and is_kept else 0.0)
        freed.append(float(page.document["words"]) if page.document and not is_kept else 0.0)
    stay = estimate_sum([float(value > 0) for value in sums], len(draw.candidates), 1.0)
    words = words.plus(estimate_sum(sums, len(draw.candidates), usual))
    # A duplicate that passes is kept where its better one leaves, which is known of drawn ones only.
    undecided_ids = {documents.table["id"][by_place[place]].as_py() for place in undecided}
    waiting = [
        number
        for number, place in enumerate(places)
        if documents.survivors[number] in undecided_ids and place not in undecided
    ]
    more = estimate_sum([float(value > 0) for value in freed], len(draw.candidates), 1.0)
    more_words = estimate_sum(freed, len(draw.candidates), usual)
    sizes = [float(documents.table["words"][number].as_py()) for number in waiting]
    stay = replace(stay, high=min(stay.high + more.high, len(draw.candidates)) + len(waiting))
    return kept.plus(stay), replace(words, high=words.high + more_words.high + sum(sizes))


def _changes(documents: Documents, fates: Sequence[Mapping[str, Any]], draw: Draw) -> Iterable[PageChange]:
    """Pages that are lost or won: of a sample, those in it."""
    rows = documents.table.select(
        ["id", "url", "host", "registered_domain", "domain", "language", "part", "place", "kept_words"]
    )
    before = {(row["part"], row["place"]): row for row in fates if row["place"] is not None}
    others = {page.page["id"]: page for page in draw.replayed}
    for number in np.flatnonzero(documents.before != documents.after).tolist():
        row = {name: rows[name][number].as_py() for name in rows.schema.names}
        known_row = before.get((row["part"], row["place"]))
        old = known_row["before"] if known_row else others[row["id"]].page["before"]
        words = int(documents.words[number]) or row["kept_words"] or 0
        yield PageChange(
            id=row["id"], url=row["url"], host=row["registered_domain"] or row["host"], domain=row["domain"] or "",
            language=row["language"] or "", words=words, before=old, after=documents.fates[number],
            won=bool(documents.after[number]),
        )  # fmt: skip
