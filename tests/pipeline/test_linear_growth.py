"""The bookkeeping for N units grows like N: requests to the storage are counted at N and at 2N units."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from uuid import uuid4

import pytest

from pipeline import curate
from pipeline.config import Config
from pipeline.inspection import status
from pipeline.inspection.finished_units import FinishedUnits, write_unit_sizes
from pipeline.inspection.status import read_status
from pipeline.prepare import UnitRows, write_unit
from pipeline.publish import plan_parts
from pipeline.reading.inputs import Input
from pipeline.reading.units import UNIT_BYTES
from pipeline.storage import remote
from pipeline.storage.layout import write_json

UNITS = 20
CONSTANT = 30  # requests that do not depend on the number of units


@pytest.fixture
def requests(monkeypatch) -> Counter[str]:
    """Requests to remote storage by file name; `memory://` counts as remote."""
    counted: Counter[str] = Counter()
    retry = remote.retry

    def count(path, attempt, *kind):
        counted[path] += 1
        return retry(path, attempt, *kind)

    monkeypatch.setattr(remote, "retry", count)
    return counted


def make_run(units: int) -> curate.Run:
    crawl = Input("crawl.warc.gz", "/nowhere/crawl.warc.gz", units * UNIT_BYTES)
    return curate.plan_run([crawl], Config(), f"memory://{uuid4().hex}/out")


def finish(run: curate.Run, units: int | None = None) -> None:
    """Writes the files of the first units, which have no pages."""
    for key in list(run.units)[:units]:
        write_unit(key, UnitRows(), run.layout)


@pytest.fixture
def engine(monkeypatch) -> None:
    """Beam prepares units without reading WARC files and without page processes."""

    def prepare_unit(unit, config, layout, worker, *, keep):
        rows = UnitRows(extracted=[] if keep else None)
        write_unit(unit.key, rows, layout)
        return rows.tally

    monkeypatch.setattr(curate, "prepare_unit", prepare_unit)
    monkeypatch.setattr(curate, "open_worker", lambda config, keep_extracted: nullcontext())


def count_requests(requests: Counter[str], action) -> int:
    requests.clear()
    action()
    return requests.total()


def is_linear(small: int, large: int) -> bool:
    return large <= 2 * small + CONSTANT


def test_prepare_fresh_resumed_and_repeated(requests, engine):
    fresh, resumed, repeated = [], [], []
    for units in (UNITS, 2 * UNITS):
        run, half = make_run(units), make_run(units)
        fresh.append(count_requests(requests, lambda run=run: curate.prepare(run)))
        repeated.append(count_requests(requests, lambda run=run: curate.prepare(run)))
        finish(half, units // 2)
        resumed.append(count_requests(requests, lambda half=half: curate.prepare(half)))
    assert is_linear(*fresh)
    assert is_linear(*resumed)
    assert is_linear(*repeated)
    assert repeated[1] <= 2 * UNITS + CONSTANT  # one request per finished unit


def test_a_repeated_reading_takes_requests_for_new_units_only(requests):
    run = make_run(2 * UNITS)
    finish(run, UNITS)
    finished = FinishedUnits(run.layout, run.sizes)
    assert count_requests(requests, finished.update) <= UNITS + 3
    assert count_requests(requests, finished.update) == 1
    finish(run)
    assert count_requests(requests, finished.update) == UNITS + 1
    assert len(finished) == 2 * UNITS


def test_status_reads_a_bounded_number_of_tallies(requests, monkeypatch):
    monkeypatch.setattr(status, "STATUS_SECONDS", 0.0)
    monkeypatch.setattr(status, "STATUS_TALLIES", UNITS)
    for units in (2 * UNITS, 4 * UNITS):
        run = make_run(units)
        write_json(run.layout.run, {"identity": {}, "work": run.layout.key})
        write_unit_sizes(run.layout, run.sizes)
        finish(run, units - 1)
        assert count_requests(requests, lambda run=run: read_status(run.layout.root)) <= UNITS + CONSTANT


def test_the_jobs_after_prepare(requests):
    """Deduplicate, count words and publish with one part per unit, without the reports."""
    fresh, repeated = [], []
    for units in (UNITS, 2 * UNITS):
        run = make_run(units)
        finish(run)
        finished = curate.prepare(run)
        parts = plan_parts(dict.fromkeys(finished.characters, 1), 1)
        assert len(parts) == units

        def jobs(run=run, finished=finished, parts=parts) -> None:
            verdicts = curate.deduplicate(run, finished)
            counts = curate.count_words(run, verdicts, parts)
            assert len(list(curate.publish(run, verdicts, parts, counts))) == len(parts)

        fresh.append(count_requests(requests, jobs))
        repeated.append(count_requests(requests, jobs))
    assert is_linear(*fresh)
    assert repeated[1] <= 2 * 2 * UNITS + CONSTANT  # word counts and result of each part
