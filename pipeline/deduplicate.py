"""Phase 2, deduplicate: keys and sketches of staged documents -> one verdict file per unit.

`deduplication/graph.py` has the steps in order; they pass on messages (`deduplication/messages.py`). Texts are not
shuffled. Units (staged files) and partitions (shares of the keys) exchange large numpy messages:

      unit: keys  ──►  partition: compare documents with one key  ──►  unit: which of its documents are duplicates

Memory of a worker: the columns of one unit (about 0.6 kB per document) or one partition. A partition gets about
`partition_bytes`, at 1 kB per document, and sorting it needs six times that. Bytes shuffled with the default settings:

    per document                         66 for its URL, 66 for its text, 192 for its bands, 8 per line     about 600
    per document with near duplicates    210 for each partition with a band that it shares, 24 at most      200-5,000

On Beam's local runner shuffled messages are stored in files, see `deduplication/spill.py`. A small input on one machine
is deduplicated without Beam, see `deduplication/direct.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from pipeline.deduplication.direct import MOST_DOCUMENTS, run_here
from pipeline.deduplication.duplicate_counts import COUNTS_FILE, DuplicateCounts, read_counts, summarize
from pipeline.deduplication.messages import Job, partition_count
from pipeline.deduplication.previous_sketches import find_sketch_files
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.spill import open_spill_folder, spill_unit
from pipeline.engines.options import LOCAL_OPTIONS, is_direct
from pipeline.storage import count_rows, exists, in_threads, join, map_in_threads


def run_deduplicate(
    staged_files: Sequence[str],
    verdict_folder: str,
    settings: DeduplicateSettings,
    pipeline_options: Sequence[str],
    *,
    resume: bool = False,
    staged_documents: int | None = None,
) -> dict[str, Any]:
    """Writes `verdict_folder/<name of the staged file>` for each staged file; returns their summary.

    With `resume`, complete verdicts in the folder, of the same files and settings, are not computed again. A caller
    that knows the number of staged documents saves reading the footer of every staged file.

    Raises `TooMuchLostError` when more documents would be dropped than `max_loss` allows.
    """
    staged = sorted(staged_files, key=lambda path: (PurePosixPath(path).name, path))
    if not staged:
        return summarize(DuplicateCounts(), settings)
    if not (resume and exists(join(verdict_folder, COUNTS_FILE))):
        previous = [path for folder in settings.previous_sketches for path in find_sketch_files(folder, settings)]
        units = [StagedUnit(i, path, previous=i >= len(staged)) for i, path in enumerate([*staged, *previous])]
        counted = previous if staged_documents is not None else [*staged, *previous]
        documents = (staged_documents or 0) + sum(map_in_threads(count_rows, counted))
        job = Job(settings, partition_count(documents, settings), verdict_folder)
        _run(job, units, documents, pipeline_options)
    return summarize(read_counts(verdict_folder), settings)


def _run(job: Job, units: Sequence[StagedUnit], documents: int, options: Sequence[str]) -> None:
    with open_spill_folder(job.folder, options) as spill:
        if spill:
            units = list(in_threads(partial(spill_unit, spill), units))
        if is_direct(options) and documents <= MOST_DOCUMENTS:
            run_here(job, units)
        else:
            from pipeline.deduplication.exchange import run_on_beam

            run_on_beam(replace(job, spill=spill), units, LOCAL_OPTIONS if is_direct(options) else options)
