"""JSON files of an output; the error of a damaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.storage import StorageError
from pipeline.storage.layout import read_json, write_json


def test_json_is_read_as_written(tmp_path: Path) -> None:
    write_json(str(tmp_path / "x.json"), {"b": 1, "a": ["ü"]})
    assert list(read_json(str(tmp_path / "x.json")).items()) == [("b", 1), ("a", ["ü"])]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.json: not a JSON object"):
        read_json(str(tmp_path / "x.json"))
