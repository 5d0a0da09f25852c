"""What crosses a shuffle waits in files, for Beam's local runner: it would keep all of it in memory, at four times its
size. The engines of a cluster have a disk of their own for that, and are handed everything as it is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from apache_beam.coders import FastPrimitivesCoder

from pipeline.deduplication.records import StagedUnit
from pipeline.engines.spread import LOCAL_OPTIONS
from pipeline.storage import explained, is_remote, join, make_folder, read_bytes

_CODER = FastPrimitivesCoder()  # what Beam itself writes such values with


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a payload lies."""

    path: str
    start: int
    length: int


@contextmanager
def scratch_folder(output: str, pipeline_options: Sequence[str]) -> Iterator[str | None]:
    """A folder on the disk of the output, gone with the block; None where the engine sees to it.

    Where the output is remote: in TMPDIR.
    """
    if not set(LOCAL_OPTIONS) <= set(pipeline_options):
        yield None
        return
    make_folder(output)
    with tempfile.TemporaryDirectory(prefix="shuffle-", dir=None if is_remote(output) else output) as folder:
        yield folder


def beside(folder: str, unit: StagedUnit) -> StagedUnit:
    """The unit as a copy in the folder if it is remote: every step reads some of its columns."""
    if not is_remote(unit.path):
        return unit
    copy = Path(folder, str(unit.index), PurePosixPath(unit.path).name)  # units of several runs bear the same names
    content = read_bytes(unit.path)
    with explained(str(copy), "write"):
        copy.parent.mkdir()
        copy.write_bytes(content)
    return replace(unit, path=str(copy))


def stored(messages: Iterable[tuple[int, Any]], folder: str) -> Iterator[tuple[int, Stored]]:
    """Every payload, all in one file; readable when the last one has come."""
    path = join(folder, uuid4().hex)
    with explained(path, "write"), open(path, "xb") as file:
        for target, payload in messages:
            start = file.tell()
            length = file.write(_CODER.encode(payload))
            yield target, Stored(path, start, length)


def fetched(payloads: Iterable[Any]) -> Iterator[Any]:
    """Every payload, from its file if it lies in one."""
    for payload in payloads:
        if not isinstance(payload, Stored):
            yield payload
            continue
        with explained(payload.path, "read"), open(payload.path, "rb") as file:
            file.seek(payload.start)
            yield _CODER.decode(file.read(payload.length))
