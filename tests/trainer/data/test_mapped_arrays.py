"""mapped_arrays: computed once, equal for all, and never wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data.mapped_arrays import map_arrays


class Columns:
    """Columns that count how often they are computed."""

    def __init__(self, values: list[int]) -> None:
        self.values, self.computed = values, 0

    def __call__(self) -> Iterator[tuple[str, NDArray[Any]]]:
        self.computed += 1
        yield "numbers", np.array(self.values, dtype=np.int64)
        yield "names", np.array(["", "law", "Größe"], dtype=np.str_)
        yield "none", np.zeros(0, dtype=np.float64)


def test_arrays_are_computed_once_and_mapped(tmp_path: Path) -> None:
    columns = Columns([3, 1, 2])
    for _ in range(3):
        found = map_arrays(tmp_path / "index", "a", columns)
        assert found["numbers"].tolist() == [3, 1, 2]
        assert found["names"].tolist() == ["", "law", "Größe"]
        assert len(found["none"]) == 0
        assert not found["numbers"].flags.owndata
        assert not found["numbers"].flags.writeable
    assert columns.computed == 1
    other = Columns([7])
    assert map_arrays(tmp_path / "index", "b", other)["numbers"].tolist() == [7]
    assert found["numbers"].tolist() == [3, 1, 2]  # a process that has the old ones mapped keeps them


def test_processes_that_start_together_compute_once(tmp_path: Path) -> None:
    columns = Columns([5])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: map_arrays(tmp_path / "index", "a", columns)["numbers"].tolist(), range(8)))
    assert found == [[5]] * 8
    assert columns.computed == 1


@pytest.mark.parametrize("name", ["numbers.npy", "arrays.json"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, name: str) -> None:
    columns = Columns([3, 1, 2])
    map_arrays(tmp_path / "index", "a", columns)
    path = tmp_path / "index" / name
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    assert map_arrays(tmp_path / "index", "a", columns)["numbers"].tolist() == [3, 1, 2]
    path.unlink()
    assert map_arrays(tmp_path / "index", "a", columns)["numbers"].tolist() == [3, 1, 2]
    assert columns.computed == 3


def test_a_folder_that_cannot_be_written_means_arrays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")  # no folder can be made below it
    columns = Columns([3])
    assert map_arrays(tmp_path / "file" / "index", "a", columns)["numbers"].tolist() == [3]
    assert os.listdir(tmp_path) == ["file"]
