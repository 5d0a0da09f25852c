"""Manifest, report and card of an output whose rows have changed: made again from the rows and the old report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.ledger import Tally
from pipeline.publishing.content_hash import (
    COLUMN_MODULUS,
    MODULUS,
    add_columns,
    hash_sums,
    row_digest,
    write_columns,
)
from pipeline.publishing.croissant import write_croissant
from pipeline.publishing.dataset_card import write_card
from pipeline.publishing.manifest import WITH_COLUMN_SUMS
from pipeline.publishing.statistics import Statistics
from pipeline.publishing.weights import Cell, WeightSettings, cell_of, cells_to_json, compare_shares, removed_words
from pipeline.release.rewrite import Change
from pipeline.reports.html_report import render
from pipeline.reports.report_json import make_report, removal_facts
from pipeline.reports.samples import collect_samples
from pipeline.settings import read_stored
from pipeline.storage.layout import JSONL, PUBLISHED, Layout, read_json, write_json
from pipeline.storage.own_files import is_part
from pipeline.storage.report_types import check_report

_OF_KEPT = ("words", "characters", "duplicates", "tokens", "language", "registered_domain", "quality_score",
            "education_score", "domain", "opt_outs", "license", "license_place", "license_disagrees",
            "signals")  # fmt: skip
_OF_DROPPED = ("stage", "reason", "value", "detail", "registered_domain", "opt_outs", "signals")


def change_manifest(
    manifest: Mapping[str, Any], change: Change, entries: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """The manifest after a change, with other entries of files."""
    sums = {kind: int(value, 16) for kind, value in manifest["content_sums"].items()}
    sums = {kind: (value + change.content.get(kind, 0)) % MODULUS for kind, value in sums.items()}
    cells = Counter(removed_words(manifest)) + Counter(change.cells)
    return {
        **manifest,
        "content_hash": hash_sums(sums),
        "content_sums": {kind: f"{value:064x}" for kind, value in sums.items()},
        "column_sums": _change_columns(manifest["column_sums"], change),
        "kept": manifest["kept"] - change.kept,
        "words": manifest["words"] - change.words,
        "characters": manifest["characters"] - change.characters,
        "dropped": manifest["dropped"] + change.kept,
        "removed": manifest.get("removed", 0) + change.kept,
        "removed_words": cells_to_json(cells),
        **entries,
    }


def _change_columns(before: Mapping[str, Mapping[str, str]], change: Change) -> dict[str, dict[str, str]]:
    after = {}
    for kind, sums in before.items():
        changed = change.columns.get(kind, {})
        names = {*sums, *changed}
        values = {name: (int(sums.get(name, "0"), 16) + changed.get(name, 0)) % COLUMN_MODULUS for name in names}
        after[kind] = write_columns(values)
    return after


def sum_rows(layout: Layout, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The sums of rows and columns, from all rows: for an output of format 1, whose manifest does not have them."""
    content, columns = {}, {}
    for kind in WITH_COLUMN_SUMS:
        total, sums = 0, dict[str, int]()
        for entry in manifest[kind]:
            for row in storage.read_rows(storage.join(layout.root, entry["path"])):
                total = (total + row_digest(row)) % MODULUS
                add_columns(sums, row)
        content[kind], columns[kind] = f"{total:064x}", write_columns(sums)
    return {"content_sums": {kind: content[kind] for kind in ("shards", "drops")}, "column_sums": columns}


def is_refreshed(layout: Layout, manifest: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do after the manifest was written: report.json is written last."""
    if storage.exists(layout.report) and not list_strays(layout, manifest):
        report = read_json(layout.report)
        stated = {"content_hash": manifest["content_hash"], "removed": removal_facts(manifest)}
        return all(report.get(name) == value for name, value in stated.items())
    return False


def list_strays(layout: Layout, manifest: Mapping[str, Any]) -> list[str]:
    """Parts that the manifest does not name."""
    named = {entry["path"] for kind in (*PUBLISHED, JSONL) for entry in manifest.get(kind, ())}
    found = []
    for kind in (*PUBLISHED, JSONL):
        folder = storage.join(layout.root, kind)
        names = [name for name in storage.list_names(folder) if is_part(name) and f"{kind}/{name}" not in named]
        found += [storage.join(folder, name) for name in names]
    return found


def refresh(layout: Layout, manifest: Mapping[str, Any]) -> None:
    """Deletes the parts that the manifest does not name, and makes report.html, the card and report.json again."""
    storage.remove_files(list_strays(layout, manifest))
    old = read_json(layout.report)
    check_report(old, layout.report)
    statistics, words, documents = count_rows_again(layout, manifest)
    statistics.rescanned = Counter({"documents": old["rescan"]["documents"], **old["rescan"]["finds"]})
    tally = Tally(
        manifest["pages"], manifest["kept"], manifest["characters"], statistics.dropped, Counter(old["records"]),
        Counter(old["cpu_seconds"]),
    )  # fmt: skip
    tally.check(layout.root)
    weights = read_stored(WeightSettings, manifest["config"]["publish"]["weights"], layout.manifest)
    shares = compare_shares(words, documents, weights, removed_words(manifest))
    report = make_report(tally, statistics, shares, old["duplicates"], manifest, old["run"], layout)
    html = render(report, collect_samples(layout, manifest["pages"]))
    with storage.write_atomically(layout.report_html) as file:
        file.write(html.encode("utf-8", "replace"))
    write_card(layout, report)
    write_croissant(layout, report)
    write_json(layout.report, report)


def count_rows_again(layout: Layout, manifest: Mapping[str, Any]) -> tuple[Statistics, Counter[Cell], Counter[str]]:
    """Statistics of all rows, and words by domain and quality, documents by domain; texts are not read."""
    statistics, words, documents = Statistics(), Counter[Cell](), Counter[str]()
    for row in _read_columns(layout, manifest["shards"], _OF_KEPT):
        statistics.keep(row)
        words[cell_of(row)] += row["words"]
        documents[row["domain"]] += 1
    for row in _read_columns(layout, manifest["drops"], _OF_DROPPED):
        statistics.drop(row)
    return statistics, words, documents


def count_words_again(layout: Layout, manifest: Mapping[str, Any]) -> Counter[Cell]:
    """Words by domain and quality of the rows of the shards."""
    words = Counter[Cell]()
    for row in _read_columns(layout, manifest["shards"], ("domain", "quality_score", "education_score", "words")):
        words[cell_of(row)] += row["words"]
    return words


def _read_columns(layout: Layout, entries: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[Any]:
    for entry in entries:
        with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
            present = [name for name in columns if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(batch_size=1024, columns=present):
                yield from batch.to_pylist()
