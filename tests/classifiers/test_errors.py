"""Files that a disk does not give: one line with the file's name, and the code of the README's table."""

from __future__ import annotations

import errno
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from classifiers.data.wikipedia_dump import DumpError, articles, open_dump
from classifiers.errors import FileError, UserError
from classifiers.estimators.external_scorer import FastTextScorer, HuggingFaceScorer
from classifiers.evaluation.gate import load_floors
from pipeline.engines.failures import find_failure

CODES = {errno.EIO: 4, errno.ENOSPC: 6, errno.EDQUOT: 6, errno.EACCES: 7, errno.EPERM: 7, errno.EROFS: 7}


class FailingFile(io.BytesIO):
    """An open file whose disk fails; errors of reading name no file."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        raise self.error


def read_dump(path: Path, error: OSError, patch: pytest.MonkeyPatch) -> None:
    list(articles(FailingFile(error), str(path)))


def read_floors(path: Path, error: OSError, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "read_text", raise_error(error))
    load_floors(path)


def load_scorer(path: Path, error: OSError, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transformers.AutoTokenizer, "from_pretrained", raise_error(error))
    HuggingFaceScorer(path, None, 32, (0.0, 1.0))


def load_fasttext_scorer(path: Path, error: OSError, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "open", raise_error(error))
    FastTextScorer(path, None)


def raise_error(error: OSError) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


READERS: dict[str, Callable[[Path, OSError, pytest.MonkeyPatch], Any]] = {
    "dump": read_dump, "floors": read_floors, "scorer": load_scorer,
    "fastText": load_fasttext_scorer,
}  # fmt: skip


@pytest.mark.parametrize("number", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("reader", READERS)
def test_a_failing_disk_gives_the_code_of_its_error(
    reader: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, error = tmp_path / reader, OSError(number, os.strerror(number))
    with pytest.raises(FileError) as caught:
        READERS[reader](path, error, monkeypatch)
    said = f"{path}: cannot read it ({os.strerror(number)})"
    assert find_failure(caught.value) == (said, CODES[number])
    # An engine gives a worker's error as text only, from which the class must decide.
    kind = type(caught.value)
    assert find_failure(RuntimeError(f"{kind.__module__}.{kind.__name__}: {said}")) == (said, CODES[number])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no such file"), OSError("not of this format")])
def test_a_missing_file_and_one_of_another_format_are_wrong_input(
    reader: str, error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=str(tmp_path / reader)) as caught:
        READERS[reader](tmp_path / reader, error, monkeypatch)
    assert find_failure(caught.value).exit_code == 2


def test_a_damaged_compressed_dump_is_wrong_input(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.gz"
    path.write_bytes(gzip.compress(b"")[:10] + b"\xff" * 100)  # a whole header, then no deflate stream
    with open_dump(path) as file, pytest.raises(DumpError, match=r"dump\.xml\.gz cannot be read .*; download it again"):
        list(articles(file, str(path)))
