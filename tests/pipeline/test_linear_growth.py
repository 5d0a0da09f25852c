"""The launcher's work for N units grows like N: every request to the storage is counted at N and at 2N units."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from uuid import uuid4

import pytest

from pipeline import curate
from pipeline.config import Config
from pipeline.ledger import Tally
from pipeline.prepare import write_table
from pipeline.publishing.schema import DROP, STAGED
from pipeline.reading.inputs import Input
from pipeline.reading.units import Unit
from pipeline.storage import remote
from pipeline.storage.layout import Layout, write_json

UNITS = 20
CONSTANT = 30  # requests that do not depend on the number of units


@pytest.fixture
def requests(monkeypatch) -> Counter[str]:
    """Requests to remote storage since the last `clear()`, by file name; `memory://` counts as remote."""
    counted: Counter[str] = Counter()
    retry = remote.retry

    def count(path, attempt):
        counted[path] += 1
        return retry(path, attempt)

    monkeypatch.setattr(remote, "retry", count)
    return counted


def make_run(units: int) -> curate.Run:
    size = Config().prepare.unit_bytes
    crawl = Input("crawl.warc.gz", "/nowhere/crawl.warc.gz", units * size)
    return curate.plan_run([crawl], Config(), f"memory://{uuid4().hex}/out")


def finish_unit(unit: Unit, layout: Layout) -> Tally:
    """Writes the files of a unit without pages."""
    tally = Tally()
    write_table(layout.unit("staged", unit.key), [], STAGED)
    write_table(layout.unit("drops", unit.key), [], DROP)
    write_json(layout.unit("tally", unit.key), tally.to_json())
    return tally


@pytest.fixture
def engine(monkeypatch) -> None:
    """Beam runs `prepare_unit` in this process, without WARC files and page processes."""
    monkeypatch.setattr(curate, "prepare_unit", lambda unit, config, layout, worker: finish_unit(unit, layout))
    monkeypatch.setattr(curate, "open_worker", lambda config: nullcontext())


def requests_of_prepare(run: curate.Run, requests: Counter[str]) -> int:
    requests.clear()
    assert len(curate.prepare(run)) == len(run.units)
    return requests.total()


def test_a_fresh_start_and_a_resumed_one_take_requests_in_proportion_to_the_units(requests, engine):
    fresh, resumed = [], []
    for units in (UNITS, 2 * UNITS):
        run = make_run(units)
        fresh.append(requests_of_prepare(run, requests))
        resumed.append(requests_of_prepare(run, requests))
    for small, large in (fresh, resumed):
        assert small > UNITS
        assert large <= 2 * small + CONSTANT
