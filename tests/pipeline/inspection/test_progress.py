"""Progress of a run: finished units, heartbeats, progress bar, log lines and `gristmill status`."""

from __future__ import annotations

import doctest
import io
import re
import sys
import time

import pytest

from pipeline.inspection import progress
from pipeline.inspection.finished_units import FinishedUnits, StoredTally
from pipeline.inspection.progress import Progress, ProgressReader, Watch, describe
from pipeline.ledger import Tally
from pipeline.prepare import Heartbeat
from pipeline.reading.units import Unit
from pipeline.storage.layout import Layout, write_json


def finish(layout, key, pages):
    write_json(layout.unit("tally", key), StoredTally(Tally(pages=pages), {}).to_json())


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(progress).failed == 0


def test_progress_adds_finished_and_running_units(tmp_path):
    layout = Layout(str(tmp_path), "key")
    reader = ProgressReader(FinishedUnits(layout, {"a": 100, "b": 300, "c": 600}))
    assert reader.read() == Progress(3, 0, 1000, 0, 0, 0)
    finish(layout, "a", 10)
    write_json(layout.unit("running", "b"), {"seconds": 2, "pages": 5, "errors": 1, "bytes": 150})
    assert reader.read() == Progress(3, 1, 1000, 250, 15, 1)
    # The heartbeat of a unit that has just ended is not counted on top of its tally.
    finish(layout, "b", 12)
    assert reader.read() == Progress(3, 2, 1000, 400, 22, 0)


def test_units_of_other_settings_are_not_counted(tmp_path):
    layout = Layout(str(tmp_path), "key")
    finish(layout, "stale", 10)
    assert ProgressReader(FinishedUnits(layout, {"a": 100})).read().pages == 0


def test_the_size_of_a_unit_is_the_bytes_that_it_reads():
    units = [Unit("f", "f", 10, 110), Unit("g", "g", 0, 900, ((0, 10), (800, 900)))]
    assert [unit.size for unit in units] == [100, 110]


@pytest.mark.parametrize(("offset", "done"), [(10, 10), (805, 15), (900, 110)])
def test_progress_in_a_unit_of_selected_records_is_at_most_its_size(tmp_path, offset, done):
    unit = Unit("g", "g", 0, 900, ((0, 10), (800, 900)))
    layout = Layout(str(tmp_path), "key")
    Heartbeat(unit, layout).update(Tally(pages=1), offset)
    assert ProgressReader(FinishedUnits(layout, {unit.key: unit.size})).read() == Progress(1, 0, 110, done, 1, 0)


def test_no_remaining_time_is_shown_without_progress():
    zero = Progress(4, 0, 400, 0, 0, 0)
    assert "left" not in describe(zero, zero, 0)


def test_the_pace_is_never_negative():
    """After a resume, units that were running before have no heartbeat any more: fewer pages are counted."""
    before, now = Progress(4, 1, 400, 100, 3000, 0), Progress(4, 1, 400, 90, 2900, 0)
    assert ", 0 pages/s," in describe(now, before, 10)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_on_a_terminal_there_is_a_bar_with_units_pages_and_time_left(tmp_path, monkeypatch):
    layout, screen = Layout(str(tmp_path), "key"), Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.01)
    with Watch(FinishedUnits(layout, {"a": 100, "b": 300})):
        wait_for(lambda: "0/2 units, 0 pages" in screen.getvalue())
        finish(layout, "a", 10)
        wait_for(lambda: "1/2 units, 10 pages" in screen.getvalue())
    line = next(line for line in screen.getvalue().split("\r") if "1/2 units, 10 pages" in line)
    assert re.search(r"25%\|.*100/400 \[\d\d:\d\d<\d\d:\d\d, .*1/2 units, 10 pages, [\d,]+ pages/s", line)


def test_without_a_terminal_there_are_plain_lines(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    layout = Layout(str(tmp_path), "key")
    with caplog.at_level("INFO", "gristmill"), Watch(FinishedUnits(layout, {"a": 100, "b": 300})):
        finish(layout, "a", 10)
        wait_for(lambda: "units 1/2, 25% of the input, 10 pages" in caplog.text)
    assert re.search(r"errors 0.00%, about \S+ (s|min|h) left", caplog.text)
    assert "\r" not in caplog.text
