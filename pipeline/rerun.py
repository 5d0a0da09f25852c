"""`gristmill rerun`: a finished run again with other settings, as cheaply as its files allow; equal to a fresh run.

what has changed                        what is done again                     what that needs
publish                                 weights, columns, reports              the published files
deduplicate                             all after the page stages              work files
a filter, a model, personal data        the page stages from there on          work files
reading, extraction, code               everything                             the input

Work files are in OUT/work unless the run was made with `--no-keep-work`, or `gristmill clean` removed them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import storage
from pipeline.config import load_config
from pipeline.curate import (
    Run,
    Verdicts,
    claim_output,
    forget_missing_parts,
    plan_run,
    publish_task,
    read_published,
    run_curation,
    tidy_work,
    write_reports,
)
from pipeline.engines.resumable import run_task
from pipeline.inspection.stored_run import read_stored_run
from pipeline.ledger import Tally
from pipeline.publish import Part, WordCounts, WritePart
from pipeline.publishing.manifest import check_parts
from pipeline.publishing.statistics import Statistics
from pipeline.publishing.token_counts import load_token_counter
from pipeline.publishing.weights import cell_of, weight_table
from pipeline.reports.samples import changed_settings
from pipeline.reuse import LATE, Level, Reuse, changes_scrubbing, plan_reuse
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import PUBLISHED, Layout, part_numbers, read_manifest, read_report
from pipeline.storage.own_files import check_apart, remove_work

_SHOWN = 6  # changed settings named in the description


@dataclass(frozen=True, slots=True)
class Rerun:
    """A planned rerun."""

    source: Layout
    run: Run
    changed: tuple[str, ...]  # settings
    from_published: bool  # only the published files are needed

    def describe(self) -> str:
        """What will be reused, for the user, before anything is done."""
        names = ", ".join(self.changed[:_SHOWN]) + (" ..." if len(self.changed) > _SHOWN else "")
        head = f"changed: {names or 'no setting'}"
        if self.from_published:
            return f"{head}\nreused: all published rows; no page is read, only weights and reports are computed again"
        reuse, units = self.run.reuse, self.run.units.values()
        reusable = sum(bool(reuse and reuse.can_run(unit)) for unit in units)
        lines = [head]
        if reusable:
            lines.append(f"reused: {_what_is_reused(reuse)} of {reusable:,} of {len(units):,} units")
        if reusable < len(units):
            lines.append(
                f"read again from the input: {len(units) - reusable:,} of {len(units):,} units ({self._why()})"
            )
        return "\n".join(lines)

    def _why(self) -> str:
        if self.run.reuse and self.run.reuse.level is Level.INPUT:
            return "a setting of reading or extraction, a list or the code has changed"
        return f"{self.source.root} has no work files of them: --no-keep-work, or `gristmill clean`"


def _what_is_reused(reuse: Reuse | None) -> str:
    if reuse is None or reuse.level is Level.STAGED:
        return "the results of all page stages"
    if reuse.first == LATE[0]:
        return "the extracted texts"
    if reuse.first == LATE[-1]:
        return "the texts and scores"
    return f"the extracted texts, and what stages before {reuse.first} did,"


def plan_rerun(source: str, output: str, path: Path | None, overrides: Sequence[str], **how: Any) -> Rerun:
    """What `run_again` will do. Raises UserError for a source that is no finished run, or settings that are refused."""
    stored = read_stored_run(source)
    check_apart(output, [source])
    config = load_config(path, overrides, base=stored.settings)
    run = plan_run(stored.inputs, config, output, **how)
    scrubs = changes_scrubbing(stored.config, config)
    reuse = plan_reuse(stored.identity, run.identity, stored.layout, scrub_changed=scrubs)
    run = replace(run, reuse=reuse)
    changed = changed_settings(run.identity["config"], stored.identity["config"])
    names = tuple(name for name, _, _ in changed)
    return Rerun(stored.layout, run, names, _needs_published_only(reuse, names, run))


def _needs_published_only(reuse: Reuse, changed: Sequence[str], run: Run) -> bool:
    """Whether nothing but weights, tokens and JSONL changes; unless the work files do it in the usual way."""
    only_publish = all(name.startswith("publish.") and name != "publish.shard_bytes" for name in changed)
    if read_manifest(reuse.layout).get("removed"):  # its weights count words that are gone
        return False
    return reuse.level is Level.STAGED and only_publish and not all(map(reuse.can_run, run.units.values()))


def run_again(plan: Rerun) -> Mapping[str, Any]:
    """Does it, and returns the manifest. The errors are those of `run_curation`."""
    return _publish_again(plan) if plan.from_published else run_curation(plan.run)


def _publish_again(plan: Rerun) -> Mapping[str, Any]:
    run, source = plan.run, plan.source
    check_parts(source, PUBLISHED)
    with claim_output(run) as finished:
        if finished:
            tidy_work(run)  # for a run that was killed after its manifest
            return read_manifest(run.layout)
        counts = _count_published(source)
        numbers = part_numbers(read_manifest(source), "shards")
        parts = [Part(number, (f"{old:05d}",)) for number, old in enumerate(numbers)]
        report = read_report(source)
        verdicts = Verdicts(fingerprint(report["content_hash"]), report["duplicates"])
        plain = publish_task(run, verdicts, weight_table(counts.words, run.config.publish.weights))
        task = RewritePart(**{**vars(plain), "source": source})
        forget_missing_parts(task, parts)
        run_task(task, parts, "Publish", run.options, run.workers)
        tally = Tally(report["pages"], records=Counter(report["records"]), cpu_seconds=Counter(report["cpu_seconds"]))
        manifest = write_reports(run, tally, verdicts, counts, read_published(task, parts))
        remove_work(run.layout)
        return manifest


def _count_published(source: Layout) -> WordCounts:
    counts = WordCounts(Counter(), Counter())
    for row in _published_rows(source, "shards", columns=["domain", "quality_score", "education_score", "words"]):
        counts.words[cell_of(row)] += row["words"]
        counts.documents[row["domain"]] += 1
    return counts


def _published_rows(source: Layout, kind: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number in part_numbers(read_manifest(source), kind):
        with storage.read_parquet(source.part(kind, number)) as parquet:
            for batch in parquet.iter_batches(columns=list(columns)):
                yield from batch.to_pylist()


@dataclass(frozen=True)
class RewritePart(WritePart):
    """A `WritePart` that takes its rows from another run's published files; only what `publish` decides changes."""

    source: Layout = field(default_factory=lambda: Layout(""))

    def _write_unit(self, key: str, writers: Mapping[str, Any], statistics: Statistics) -> None:
        number = int(key)
        for row in storage.read_rows(self.source.part("drops", number)):
            writers["drops"].write(row)
            statistics.drop(row)
        for row in storage.read_rows(self.source.part("shards", number)):
            row["weight"] = self.weights[cell_of(row)]
            row["tokens"] = load_token_counter(self.tokenizer)(row["text"]) if self.tokenizer else None
            self.write_kept(row, writers, statistics)
        for kind in (kind for kind in writers if kind in PUBLISHED and kind not in ("shards", "drops")):
            for row in storage.read_rows(self.source.part(kind, number)):
                writers[kind].write(row)
