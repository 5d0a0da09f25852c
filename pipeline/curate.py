"""`gristmill curate`: four jobs on one engine, then the report and the manifest.

job            input                         output                              distribution
prepare        units of WARC bytes           staged documents, drops, tallies    map over units
deduplicate    keys of staged documents      verdicts                            keys are shuffled, texts are not
count words    staged documents, verdicts    words by domain and quality         map over parts
publish        staged documents, verdicts,   shards, drops, sketches             map over parts
               weights computed from the
               word counts

Every job stores its results in OUT/work and skips results that are already stored, so the same command resumes a run
that was stopped. Finished units are found by listing folders, not by a request per unit: a crawl has over a million.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from pipeline import effects, storage
from pipeline.config import Config
from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.previous_sketches import find_sketch_files
from pipeline.engines.concurrent_calls import Counts
from pipeline.engines.map_items import map_items
from pipeline.engines.options import LOCAL_OPTIONS, is_on_this_machine
from pipeline.engines.resumable import read_results, run_task
from pipeline.errors import RunFailedError, UserError
from pipeline.inspection.finished_units import FinishedUnits, write_unit_sizes
from pipeline.inspection.progress import Watch
from pipeline.ledger import LedgerError, Tally
from pipeline.page_process.chain import close_started_worker, open_worker, start_worker
from pipeline.page_process.killable_process import KillableWorker
from pipeline.prepare import prepare_unit, unit_folder_key
from pipeline.publish import CountWords, Part, WordCounts, WritePart, plan_parts
from pipeline.publishing.croissant import write_croissant
from pipeline.publishing.dataset_card import write_card
from pipeline.publishing.manifest import claim, is_complete, make_manifest
from pipeline.publishing.provenance import file_digests, settings_as_json, versions, without_secrets
from pipeline.publishing.statistics import Statistics
from pipeline.publishing.token_counts import load_token_counter
from pipeline.publishing.weights import Cell, compare_shares, weight_table
from pipeline.reading.formats import check_formats
from pipeline.reading.inputs import Input
from pipeline.reading.units import Unit, cut_units
from pipeline.reports.html_report import write_report
from pipeline.reports.report_json import make_report
from pipeline.reuse import Level, Reuse, copy_units, rerun_unit
from pipeline.stages.custom_rules import scorer_signals
from pipeline.stages.read_documents import check_inputs
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import JSONL, PUBLISHED, Layout, read_json, read_manifest, read_run, write_json
from pipeline.storage.lease import hold_lease
from pipeline.storage.own_files import check_output, remove_leftovers, remove_work, trim_work

log = logging.getLogger("gristmill")

PRIVATE_OPTIONS = ("--notify-url", "--notify-command", "--metrics-file")  # hold secrets; the output is the same without


@dataclass(frozen=True)
class Run:
    """One curation: its input, settings, output folder and engine."""

    inputs: tuple[Input, ...]
    config: Config
    layout: Layout
    identity: Mapping[str, Any]  # everything that the output depends on; stored in run.json and in the manifest
    workers: int = 1
    command: str = ""  # for the report
    options: tuple[str, ...] = LOCAL_OPTIONS  # of Beam; never empty, or Beam would parse the arguments of `gristmill`
    reuse: Reuse | None = None  # an earlier run whose stage outputs are taken over
    keep_work: bool = True  # keep in OUT/work what a rerun or further input takes over

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The units of work by key, in the order of the keys."""
        units = {unit.key: unit for unit in cut_units(self.inputs, self.config.prepare.unit_bytes)}
        return dict(sorted(units.items()))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Compressed input bytes by unit key."""
        return {key: unit.size for key, unit in self.units.items()}


def plan_run(inputs: Sequence[Input], config: Config, output: str, **how: Any) -> Run:
    """A run whose identity holds everything that decides the output; `how` are `workers` and `options`."""
    files = file_digests(config)
    identity = {
        "config": settings_as_json(config),
        "files": files,
        "versions": versions(),
        "inputs": [{"name": item.name, "bytes": item.size} for item in inputs],
    }
    key = unit_folder_key(config, files, versions())
    return Run(tuple(inputs), config, Layout(output, key), identity, **how)


def run_curation(run: Run, *, overwrite: bool = False) -> Mapping[str, Any]:
    """Runs the jobs that are not done yet and returns the manifest.

    Raises UserError when the folder belongs to another configuration or input or holds files of others, LeaseHeldError
    when another process works on it, and LedgerError, without writing a
    manifest, when the counts of pages do not add up or too much of the input is unreadable.
    """
    reads_input = not all(run.reuse and run.reuse.can_run(unit) for unit in run.units.values())
    if reads_input:
        check_formats(run.inputs)
    check_output(run.layout, [*(item.path for item in run.inputs), *run.config.deduplicate.previous_sketches])
    try:
        if not is_complete(run.layout):
            if reads_input:
                check_inputs(run.inputs, run.config.read_documents)
            check_files(run)
        if not is_on_this_machine(run.options):
            close_started_worker()  # pages are processed on other machines
        return _run_with_lease(run, overwrite=overwrite)
    finally:
        close_started_worker()


def _run_with_lease(run: Run, *, overwrite: bool) -> Mapping[str, Any]:
    with hold_lease(run.layout.lease):
        return _run_jobs(run, overwrite=overwrite)


@contextmanager
def claim_output(run: Run) -> Iterator[bool]:
    """Holds the lease of the output while the block runs; True where the run is complete already."""
    check_output(run.layout, [])
    with hold_lease(run.layout.lease):
        remove_leftovers(run.layout)
        claim(run.layout, run.identity, local_paths(run), overwrite=False)
        yield is_complete(run.layout)


def remove_finished_work(layout: Layout) -> None:
    """Removes what a run leaves that was killed after it had written its manifest."""
    if storage.list_names(storage.join(layout.root, "work")):
        with hold_lease(layout.lease):
            remove_leftovers(layout)
            remove_work(layout)


def clean_run(output: str) -> int:
    """Removes the work files of a finished run; returns their bytes. Raises UserError for a run that needs them."""
    layout = Layout(output)
    if not is_complete(layout):
        raise UserError(f"{output}: no finished run; its work files are what the same `gristmill curate` resumes from")
    freed = sum(storage.file_sizes(storage.join(layout.root, "work")).values())
    remove_finished_work(layout)
    return freed


def _run_jobs(run: Run, *, overwrite: bool) -> Mapping[str, Any]:
    remove_leftovers(run.layout)
    claim(run.layout, run.identity, local_paths(run), overwrite=overwrite)
    if is_complete(run.layout):
        log.info("%s is complete already", run.layout.root)
        tidy_work(run)  # for a run that was killed after its manifest
        return read_manifest(run.layout)
    write_unit_sizes(run.layout, run.sizes)
    finished = prepare(run)
    if not finished.total.pages:
        records = ", ".join(f"{n:,} {kind}" for kind, n in finished.total.records.items()) or "none"
        raise RunFailedError(
            f"no page was read from {len(run.inputs):,} files (records: {records}); nothing was published"
        )
    verdicts = deduplicate(run, finished)
    parts = plan_parts(finished.characters, run.config.publish.shard_bytes)
    counts = count_words(run, verdicts, parts)
    written = publish(run, verdicts, parts, counts)
    manifest = write_reports(run, finished.total, verdicts, counts, written)
    tidy_work(run)
    return manifest


def tidy_work(run: Run) -> None:
    """Leaves of the work files what a later run starts from."""
    if run.keep_work:
        trim_work(run.layout, run.units)
    else:
        remove_work(run.layout)


def _run_facts(run: Run) -> dict[str, Any]:
    """When the run began (its first process, if it was resumed), when it ended, and by which command."""
    started, now = float(read_run(run.layout).get("started", effects.now())), effects.now()
    day = "%Y-%m-%d %H:%M UTC"
    times = {"started": started, "finished": now}
    shown = {name: datetime.fromtimestamp(value, UTC).strftime(day) for name, value in times.items()}
    return {**shown, "seconds": round(now - started, 1), "command": run.command}


def describe_command(arguments: Sequence[str]) -> str:
    """The command line without what the published report must not tell.

    That is `PRIVATE_OPTIONS`, and in addresses user names, passwords and all after a `?`, such as a signature.

    >>> describe_command(["curate", "https://me:secret@a.example/x?key=1", "--output", "my out", "--notify-url=u"])
    "gristmill curate https://a.example/x --output 'my out'"
    """
    return shlex.join(["gristmill", *map(without_secrets, _without_private_options(arguments))])


def _without_private_options(arguments: Iterable[str]) -> Iterator[str]:
    rest = iter(arguments)
    for argument in rest:
        name, equals, _ = argument.partition("=")
        if name not in PRIVATE_OPTIONS:
            yield argument
        elif not equals:
            next(rest, None)  # its value


def check_files(run: Run) -> None:
    """Opens lists, models and previous sketches before anything is written, not after days of extraction."""
    config = run.config
    start_worker(config, keep_extracted=run.keep_work)
    if config.publish.tokenizer:
        load_token_counter(config.publish.tokenizer)
    for folder in config.deduplicate.previous_sketches:
        find_sketch_files(folder, config.deduplicate)


def local_paths(run: Run) -> dict[str, Any]:
    """The paths of the input, and the settings with paths as they are on this machine, for `gristmill explain`."""
    return {
        "paths": {item.name: _absolute(item.path) for item in run.inputs},
        "ranges": {item.name: item.ranges for item in run.inputs if item.ranges},
        "digests": {item.name: item.digests for item in run.inputs if item.digests},
        "settings": run.config.model_dump(mode="json"),
        "started": effects.now(),
    }


def _absolute(path: str) -> str:
    return path if storage.is_remote(path) else os.path.abspath(os.path.expanduser(path.removeprefix("file://")))


# --- prepare ---


def prepare(run: Run) -> FinishedUnits:
    """Runs every unit that is not finished; returns all of them, with their counts checked."""
    if run.reuse and run.reuse.level is Level.STAGED:
        copy_units(run.units, run.reuse, run.layout)
    finished = FinishedUnits(run.layout, run.sizes)
    finished.update(check_files=True)
    # The largest first, so that at the end no worker waits for one: two workers took 39 s for four files, now 32 to 36.
    pending = sorted((unit for key, unit in run.units.items() if key not in finished), key=lambda unit: -unit.size)
    log.info("prepare: %d units of input, %d finished earlier", len(run.units), len(finished))
    if pending:
        task = PrepareUnit(run.config, run.layout, run.reuse, run.keep_work)
        open_process = partial(open_worker, run.config, **({"keep_extracted": True} if run.keep_work else {}))
        with Watch(finished):
            map_items("Prepare", task, pending, open_process, run.options, run.workers)
        finished.update()
    close_started_worker()
    missing = next((key for key in run.units if key not in finished), None)
    if missing:
        raise RunFailedError(f"the engine reported success, but unit {missing} is not finished; run the command again")
    finished.total.check("the run")
    try:
        finished.total.check_errors(run.config.prepare.max_error_share, run.layout.folder("drops"))
    except LedgerError:
        paths = {run.units[key].path for key in finished.unreadable}
        # Before the run only the first inputs were looked at.
        check_formats([item for item in run.inputs if item.path in paths])
        raise
    return finished


@dataclass(frozen=True)
class PrepareUnit:
    """`prepare_unit` as a value that can be sent to workers; the engine's counters are named as in `Progress`."""

    config: Config
    layout: Layout
    reuse: Reuse | None = None
    keep: bool = False

    def __call__(self, unit: Unit, worker: KillableWorker) -> Counts:
        how: dict[str, Any] = {"keep": True} if self.keep else {}
        if self.reuse and self.reuse.can_run(unit):
            how["run"] = partial(rerun_unit, reuse=self.reuse)
        tally = prepare_unit(unit, self.config, self.layout, worker, **how)
        return {"units_done": 1, "bytes_done": unit.size, "pages": tally.pages, "errors": tally.errors}


# --- deduplicate ---


@dataclass(frozen=True)
class Verdicts:
    """The folder of the verdict files, one per unit, and their summary for the report."""

    folder: str
    summary: Mapping[str, Any]


def deduplicate(run: Run, finished: FinishedUnits) -> Verdicts:
    """Runs deduplication once for this set of units."""
    folder = verdict_folder(run)
    summary = storage.join(folder, "summary.json")
    if not storage.exists(summary):
        log.info("deduplicate: %d documents", finished.total.kept)
        staged = [run.layout.unit("staged", key) for key in run.units]
        documents, settings = finished.total.kept, run.config.deduplicate
        result = run_deduplicate(staged, folder, settings, run.options, resume=True, staged_documents=documents)
        write_json(summary, result)
    return Verdicts(folder, read_json(summary))


def verdict_folder(run: Run) -> str:
    """The folder is named after the set of units, because which documents are duplicates depends on all of them."""
    return storage.join(run.layout.work, f"verdicts-{fingerprint(list(run.units))}")


# --- count words ---


def count_words(run: Run, verdicts: Verdicts, parts: Sequence[Part]) -> WordCounts:
    """Counts the words that deduplication kept, by domain and quality."""
    log.info("count words: %d parts", len(parts))
    task = count_words_task(run, verdicts)
    run_task(task, parts, "Count words", run.options, run.workers)
    return WordCounts.sum_of(read_results(task, parts))


def count_words_task(run: Run, verdicts: Verdicts) -> CountWords:
    """The task that runs for every part."""
    return CountWords(run.layout, verdicts.folder, fingerprint(run.config.publish.shard_bytes))


# --- publish ---


def publish(run: Run, verdicts: Verdicts, parts: Sequence[Part], counts: WordCounts) -> Iterable[Mapping[str, Any]]:
    """Writes the parts, with weights computed from the word counts; returns the results of `WritePart`."""
    log.info("publish: %d documents in %d parts", counts.documents.total(), len(parts))
    task = publish_task(run, verdicts, weight_table(counts.words, run.config.publish.weights))
    forget_missing_parts(task, parts)
    run_task(task, parts, "Publish", run.options, run.workers)
    return read_published(task, parts)


def forget_missing_parts(task: WritePart, parts: Sequence[Part]) -> None:
    """Removes the results of parts with a missing file, so that they are written again."""
    stored = storage.file_sizes(task.folder)
    written = [part for part in parts if task.name(part) in stored]
    found = published_sizes(task.layout) if written else {}
    missing = [part for part in written if not found.keys() >= set(task.paths(part))]
    storage.remove_files(storage.join(task.folder, task.name(part)) for part in missing)


def read_published(task: WritePart, parts: Sequence[Part]) -> Iterator[Mapping[str, Any]]:
    """The results of the parts; a part is written again if a file has another size: another run has replaced it."""
    found = published_sizes(task.layout)
    for part, result in zip(parts, read_results(task, parts), strict=True):
        if all(found.get(entry["path"]) == entry["bytes"] for entry in result["files"].values()):
            yield result
        else:
            yield task.compute(part)


def published_sizes(layout: Layout) -> dict[str, int]:
    """The sizes of all published files by path below the output, from one listing a folder."""
    listings = {kind: storage.file_sizes(storage.join(layout.root, kind)) for kind in (*PUBLISHED, JSONL)}
    return {f"{kind}/{name}": size for kind, sizes in listings.items() for name, size in sizes.items()}


def publish_task(run: Run, verdicts: Verdicts, weights: Mapping[Cell, float]) -> WritePart:
    """The task that runs for every part."""
    key = fingerprint(run.identity["config"]["publish"], verdicts.folder.rsplit("/", 1)[-1])
    config = run.config
    return WritePart(
        run.layout,
        verdicts.folder,
        weights,
        config.scrub_pii,
        key,
        jsonl=config.publish.jsonl,
        drop_text=config.prepare.drop_text,
        signals=scorer_signals(config.custom_rules),
        tokenizer=config.publish.tokenizer,
    )


def write_reports(
    run: Run, tally: Tally, verdicts: Verdicts, counts: WordCounts, written: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Checks the ledger against the published rows, writes the report and, last, the manifest."""
    statistics = Statistics()
    files: dict[str, list[Any]] = {kind: [] for kind in PUBLISHED}
    for part in written:
        statistics.add(Statistics.from_json(part["statistics"]))
        for kind, entry in part["files"].items():
            files.setdefault(kind, []).append(entry)
    published = Tally(tally.pages, statistics.kept["documents"], statistics.kept["characters"], statistics.dropped)
    published.check("the published rows")
    manifest = make_manifest(run.identity, files, published, statistics)
    shares = compare_shares(counts.words, counts.documents, run.config.publish.weights)
    report = make_report(tally, statistics, shares, verdicts.summary, manifest, _run_facts(run), run.layout)
    write_json(run.layout.report, report)
    write_card(run.layout, report)
    write_croissant(run.layout, report)
    write_report(run.layout)
    write_json(run.layout.manifest, manifest)
    return manifest
