"""Finished units: added tallies, damaged files, estimates from a sample, and the table of units."""

from __future__ import annotations

import pytest

from pipeline import storage
from pipeline.inspection.finished_units import FinishedUnits, parse_tally, read_unit_sizes, write_unit_sizes
from pipeline.ledger import Tally
from pipeline.prepare import UnitRows, write_unit
from pipeline.storage.layout import Layout, write_json

SIZES = {"a": 100, "b": 300, "c": 600}


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout(str(tmp_path), "key")


def finish(layout: Layout, key: str, pages: int) -> None:
    write_unit(key, UnitRows(tally=Tally(pages=pages, characters=10 * pages)), layout)


def test_tallies_are_added_up_and_characters_kept_by_unit(layout):
    finish(layout, "a", 1)
    finished = FinishedUnits(layout, SIZES)
    finished.update()
    finish(layout, "c", 3)
    finish(layout, "of another input", 5)
    finished.update(check_files=True)
    assert finished.characters == {"a": 10, "c": 30}
    assert (finished.total.pages, finished.bytes, finished.is_exact) == (4, 700, True)
    assert "b" not in finished


@pytest.mark.parametrize("kind", ["staged", "drops"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_unit_with_a_damaged_file_is_done_again(layout, kind, damage):
    finish(layout, "a", 1)
    finish(layout, "b", 1)
    path = layout.unit(kind, "a")
    content = storage.read_bytes(path)
    storage.remove(path)
    if damage == "truncated":
        with storage.write_atomically(path) as file:
            file.write(content[:-1])
    finished = FinishedUnits(layout, SIZES)
    finished.update(check_files=True)
    assert list(finished.characters) == ["b"]
    finished.update()  # the tally is gone as well, so that progress does not count the unit
    assert list(finished.characters) == ["b"]


def test_a_tally_of_another_format_is_removed(layout):
    write_json(layout.unit("tally", "a"), {"pages": 1})
    finished = FinishedUnits(layout, SIZES)
    finished.update()
    assert len(finished) == 0
    finished.update(check_files=True)
    assert not storage.exists(layout.unit("tally", "a"))
    assert parse_tally(b"no JSON") is None


def test_with_a_limit_of_reads_counts_are_estimated_from_a_sample(layout):
    sizes = {f"{number:03d}": 10 for number in range(100)}
    for key in list(sizes)[:50]:
        finish(layout, key, 7)
    finished = FinishedUnits(layout, sizes, max_reads=5)
    finished.update()
    assert (len(finished), finished.bytes, finished.total.pages) == (50, 500, 35)
    assert finished.total.pages * finished.scale == 350
    assert not finished.is_exact
    finish(layout, "099", 7)
    finished.update()
    assert (len(finished), finished.total.pages) == (51, 35)


def test_the_table_of_units(layout):
    write_unit_sizes(layout, SIZES)
    assert read_unit_sizes(layout) == SIZES
