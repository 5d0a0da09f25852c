"""JSON files of an output; the error of a damaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.storage import StorageError
from pipeline.storage.layout import read_json, write_json


def test_json_is_read_as_written(tmp_path: Path) -> None:
    write_json(str(tmp_path / "x.json"), {"b": 1, "a": ["ü"]})
    assert list(read_json(str(tmp_path / "x.json")).items()) == [("b", 1), ("a", ["ü"])]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff", b"[1]", b"7", b"null", b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.json: not (JSON|a JSON object)"):
        read_json(str(tmp_path / "x.json"))


def test_a_missing_key_and_a_wrong_type_name_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    write_json(path, {"a": {"b": 1}, "pages": "x"})
    found = read_json(path)
    for key, values in (("c", found), ("d", found["a"])):
        with pytest.raises(StorageError, match=rf"x\.json: has no '{key}'"):
            values[key]
    with pytest.raises(StorageError, match=r"x\.json: 'pages' is 'x'"):
        read_json(path, {"pages": int})
    assert found.get("c") is None
