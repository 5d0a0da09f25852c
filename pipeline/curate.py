"""`gristmill curate`: three Beam pipelines, each on one screen, and what must be true between them.

prepare       WARC units  -> staged documents, drops, tallies        map only
deduplicate   keys        -> verdicts                                 keys shuffle, text never does
publish       verdicts    -> weighted shards, drops, sketches         map only; then report and manifest, in that order
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam

from pipeline import storage
from pipeline.config import Config
from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.previous_sketches import find_sketch_files
from pipeline.engines.spread import LOCAL_OPTIONS, Counts, Spread, open_pipeline
from pipeline.inspection.progress import Watch, sizes_of
from pipeline.ledger import Tally
from pipeline.page_process.killable_process import KillableWorker
from pipeline.prepare import finished, open_worker, prepare_unit, unit_folder_key
from pipeline.publish import Part, Publication, measure_unit, plan_parts, write_part
from pipeline.publishing.dataset_card import write_card
from pipeline.publishing.manifest import claim, is_complete, make_manifest
from pipeline.publishing.provenance import file_digests, settings_as_json, versions
from pipeline.publishing.statistics import Statistics
from pipeline.publishing.weights import Cell, WeightSettings, compare_shares, weight_table
from pipeline.reading.inputs import Input
from pipeline.reading.units import Unit, cut_units
from pipeline.reports.html_report import write_report
from pipeline.reports.report_json import make_report
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, read_json, write_json

log = logging.getLogger("gristmill")


@dataclass(frozen=True)
class Run:
    """One curation: what goes in, by which settings, to where, on which engine."""

    inputs: tuple[Input, ...]
    config: Config
    layout: Layout
    workers: int = 1
    options: tuple[str, ...] = LOCAL_OPTIONS  # of Beam; always given, or Beam would read our own command line

    @property
    def units(self) -> list[Unit]:
        """The units of work, in the order of their keys."""
        return sorted(cut_units(self.inputs, self.config.prepare.unit_bytes), key=lambda unit: unit.key)


def plan_run(inputs: Sequence[Input], config: Config, output: str, **how: Any) -> Run:
    """Binds the output folder to everything that decides its bytes."""
    key = unit_folder_key(config, file_digests(config), versions())
    return Run(tuple(inputs), config, Layout(output, key), **how)


def run_curation(run: Run, *, overwrite: bool = False, keep_work: bool = False) -> Mapping[str, Any]:
    """Runs what is not done yet and returns the manifest.

    Raises ValueError when the folder belongs to another configuration or input, LedgerError when the books do not
    balance or too much of the input is unreadable; then no manifest is written.
    """
    if not is_complete(run.layout):
        with open_worker(run.config) as worker:  # a broken list or model is found here, before anything is written
            worker.start()
        for folder in run.config.deduplicate.previous_sketches:  # and not after days of extraction
            find_sketch_files(folder, run.config.deduplicate)
    here = {
        "paths": {item.name: _absolute(item.path) for item in run.inputs},
        "units": sizes_of(run.units),
        "settings": run.config.model_dump(mode="json"),  # with real paths, for `gristmill explain`
    }
    claim(run.layout, identity(run), here, overwrite=overwrite)
    if is_complete(run.layout):
        log.info("%s is complete already", run.layout.root)
        return read_json(run.layout.manifest)
    tallies = prepare(run)
    verdicts, duplicates = deduplicate(run, tallies)
    manifest = publish(run, tallies, verdicts, duplicates)
    if not keep_work:
        storage.remove_folder(storage.join(run.layout.root, "work"))
    return manifest


def _absolute(path: str) -> str:
    return path if storage.is_remote(path) else os.path.abspath(os.path.expanduser(path.removeprefix("file://")))


def identity(run: Run) -> dict[str, Any]:
    """Everything that the output is a function of; `run.json` holds it from the start, the manifest at the end."""
    return {
        "config": settings_as_json(run.config),
        "files": file_digests(run.config),
        "versions": versions(),
        "inputs": [{"name": item.name, "bytes": item.size} for item in run.inputs],
    }


# --- prepare ---


def prepare(run: Run) -> dict[str, Tally]:
    """Does every unit that has no tally yet; returns the tallies by unit key, checked."""
    units = run.units
    done = _finished(run, units)
    pending = [unit for unit in units if unit.key not in done]
    log.info("prepare: %d units of WARC bytes, %d done before", len(units), len(units) - len(pending))
    if pending:
        task, tool = PrepareUnit(run.config, run.layout), partial(open_worker, run.config)
        with Watch(run.layout, sizes_of(units)), open_pipeline(run.options) as pipeline:
            pipeline | "Units" >> beam.Create(pending) | "Prepare" >> Spread(task, tool, run.workers)
    tallies = _finished(run, units)
    for unit in units:
        if unit.key not in tallies:
            raise RuntimeError(f"unit {unit.key} of {unit.name} is not finished though the engine says so")
    total = sum_tallies(tallies)
    total.check("the run")
    total.check_errors(run.config.prepare.max_error_share)
    return tallies


@dataclass(frozen=True)
class PrepareUnit:
    """`prepare_unit` of one run, as a value that travels to the workers; counts under the names of `Progress`."""

    config: Config
    layout: Layout

    def __call__(self, unit: Unit, worker: KillableWorker) -> Counts:
        tally = prepare_unit(unit, self.config, self.layout, worker)
        done = {"units_done": 1, "bytes_done": sizes_of([unit])[unit.key]}
        return {**done, "pages": tally.pages, "errors": tally.errors}


def _finished(run: Run, units: Sequence[Unit]) -> dict[str, Tally]:
    tallies = storage.in_threads(partial(finished, layout=run.layout), units)
    return {unit.key: tally for unit, tally in zip(units, tallies, strict=True) if tally is not None}


def sum_tallies(tallies: Mapping[str, Tally]) -> Tally:
    """The whole run's tally."""
    total = Tally()
    for _, tally in sorted(tallies.items()):
        total.add(tally)
    return total


# --- deduplicate ---


def deduplicate(run: Run, tallies: Mapping[str, Tally]) -> tuple[str, dict[str, Any]]:
    """The folder of verdicts and their summary; done once per set of units."""
    verdicts = storage.join(run.layout.work, f"verdicts-{fingerprint(sorted(tallies))}")
    marker = storage.join(verdicts, "summary.json")
    if not storage.exists(marker):
        log.info("deduplicate: %d documents", sum_tallies(tallies).kept)
        staged = [run.layout.unit("staged", key) for key in sorted(tallies)]
        write_json(marker, run_deduplicate(staged, verdicts, run.config.deduplicate, run.options, resume=True))
    return verdicts, read_json(marker)


# --- publish ---


def publish(run: Run, tallies: Mapping[str, Tally], verdicts: str, duplicates: Mapping[str, Any]) -> dict[str, Any]:
    """Weights from counts, parts by the engine; then report and manifest, in that order."""
    measured = spread(run, "Measure", Measure(run.layout, verdicts), sorted(tallies))
    mix = Mix.of(measured, run.config.publish.weights)
    characters = {key: tally.characters for key, tally in tallies.items()}
    parts = plan_parts(characters, run.config.publish.shard_bytes)
    log.info("publish: %d documents in %d parts", sum(mix.documents.values()), len(parts))
    publication = Publication(run.layout, verdicts, mix.weights, run.config.scrub_pii)
    written = spread(run, "Publish", WritePart(publication, _publish_key(run, verdicts)), parts)
    return finish(run, sum_tallies(tallies), mix, duplicates, written)


def _publish_key(run: Run, verdicts: str) -> str:
    return fingerprint(settings_as_json(run.config)["publish"], verdicts.rsplit("/", 1)[-1])


@dataclass(frozen=True)
class Measure:
    """Counts one unit's words by domain and quality."""

    layout: Layout
    verdicts: str
    counter = "units_measured"

    def result(self, key: str) -> str:
        """Where the counts lie once they are made."""
        return storage.join(self.verdicts, "words", f"{key}.json")

    def compute(self, key: str) -> dict[str, Any]:
        return measure_unit(key, self.layout, self.verdicts)


@dataclass(frozen=True)
class WritePart:
    """Writes one part of the output."""

    publication: Publication
    key: str
    counter = "parts_written"

    def result(self, part: Part) -> str:
        """Where the part's statistics lie once its files are whole."""
        return self.publication.layout.unit("published", f"{self.key}-{part.number:05d}")

    def compute(self, part: Part) -> dict[str, Any]:
        return write_part(part, self.publication)


def spread(run: Run, label: str, task: Measure | WritePart, work: Sequence[Any]) -> list[dict[str, Any]]:
    """Every item's result in order; an item whose result is stored is not done again."""
    there = storage.in_threads(lambda item: storage.exists(task.result(item)), work)
    pending = [item for item, done in zip(work, there, strict=True) if not done]
    if pending:
        with open_pipeline(run.options) as pipeline:
            pipeline | "Work" >> beam.Create(pending) | label >> Spread(Once(task), nullcontext, run.workers)
    return storage.in_threads(lambda item: read_json(task.result(item)), work)


@dataclass(frozen=True)
class Once:
    """Stores what a task computes, unless it is stored already."""

    task: Measure | WritePart

    def __call__(self, item: Any, _tool: None) -> Counts:
        path = self.task.result(item)
        if not storage.exists(path):
            write_json(path, self.task.compute(item))
        return {self.task.counter: 1}


@dataclass(frozen=True)
class Mix:
    """Kept words by (domain, quality), documents by domain, and the weights that follow."""

    words: Mapping[Cell, int]
    documents: Mapping[str, int]
    weights: Mapping[Cell, float]

    @classmethod
    def of(cls, measured: Sequence[Mapping[str, Any]], settings: WeightSettings) -> Mix:
        """Adds up the units' counts."""
        words: Counter[Cell] = Counter()
        documents: Counter[str] = Counter()
        for counts in measured:
            words.update({(domain, quality): n for domain, quality, n in counts["words"]})
            documents.update(counts["documents"])
        return cls(words, documents, weight_table(words, settings))


def finish(
    run: Run, tally: Tally, mix: Mix, duplicates: Mapping[str, Any], written: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Checks the books against the published rows, writes the report, then the manifest."""
    statistics = Statistics()
    for part in written:
        statistics.add(Statistics.from_json(part["statistics"]))
    books = Tally(tally.pages, statistics.kept["documents"], statistics.kept["characters"], statistics.dropped)
    books.check("the published rows")
    files = {kind: [part["files"][kind] for part in written] for kind in ("shards", "drops", "sketches")}
    shares = compare_shares(mix.words, mix.documents, run.config.publish.weights)
    manifest = make_manifest(identity(run), files, books, statistics)
    report = make_report(tally, statistics, shares, duplicates, manifest)
    write_json(run.layout.report, report)
    write_card(run.layout, report)
    write_report(run.layout)
    write_json(run.layout.manifest, manifest)
    return manifest
