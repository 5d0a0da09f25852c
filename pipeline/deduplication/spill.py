"""Spill files: store shuffled messages on disk for Beam's local runner, which would keep them in memory.

There they take four times their size. The engines of a cluster store shuffled data themselves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipeline import effects
from pipeline.deduplication.records import StagedUnit
from pipeline.engines.options import is_on_this_machine
from pipeline.stop import cleanup_at_stop
from pipeline.storage import explain_errors, is_remote, join, make_folder, read_bytes, remove_folder
from pipeline.storage.lease import is_gone, this_process

if TYPE_CHECKING:
    from apache_beam.coders import FastPrimitivesCoder


_PREFIX = "shuffle-"
_OWNER = "owner.json"  # sorted after the spill files, whose names are hexadecimal: it is deleted last


@dataclass(frozen=True, slots=True)
class Spilled:
    """Place of an encoded payload: file, first byte, bytes."""

    path: str
    start: int
    length: int


@contextmanager
def open_spill_folder(output: str, pipeline_options: Sequence[str]) -> Iterator[str | None]:
    """A folder on the disk of the output (in TMPDIR if that is remote), deleted at its end or the process's.

    Folders beside it that killed processes of this machine left are deleted first: they hold texts. None for engines
    that store their shuffles themselves.
    """
    if not is_on_this_machine(pipeline_options):
        yield None
        return
    make_folder(output)
    with explain_errors(output, "create"):
        folder = effects.make_temporary_folder(None if is_remote(output) else output, _PREFIX)
    try:
        with cleanup_at_stop(lambda *_: remove_folder(folder)):
            _write_owner(folder)
            _remove_dead(folder)
            yield folder
    finally:
        remove_folder(folder)


def _write_owner(folder: str) -> None:
    path = join(folder, _OWNER)
    with explain_errors(path, "write"), effects.create_file(path) as file:
        file.write(json.dumps(this_process()).encode())


def _remove_dead(folder: str) -> None:
    """Deletes the folders beside this one whose owners are gone, as far as the disk lets it."""
    for path in _folders_beside(folder):
        with suppress(OSError, ValueError):
            owner = json.loads(effects.read_file(join(path, _OWNER)))
            if isinstance(owner, dict) and is_gone(owner):
                effects.delete_folder(path)


def _folders_beside(folder: str) -> list[str]:
    """This user's other folders of shuffles; what another user made might hold a pipe."""
    above = os.path.dirname(folder)
    with suppress(OSError):
        entries = [entry for entry in effects.list_folder(above) if entry.name.startswith(_PREFIX)]
        paths = [join(above, entry.name) for entry in entries if entry.is_folder and not entry.is_link]
        return [path for path in paths if path != folder and effects.is_own(path)]
    return []


def spill_unit(folder: str, unit: StagedUnit) -> StagedUnit:
    """The unit, as a copy in the folder if it is remote: every step reads some of its columns."""
    if not is_remote(unit.path):
        return unit
    copy = Path(folder, str(unit.index), PurePosixPath(unit.path).name)  # units of several runs have the same names
    content = read_bytes(unit.path)
    with explain_errors(str(copy), "write"):
        effects.make_folder(str(copy.parent))
        with effects.create_file(str(copy)) as file:
            file.write(content)
    return replace(unit, path=str(copy))


def spill_messages(messages: Iterable[tuple[int, Any]], folder: str | None) -> Iterator[tuple[int, Any]]:
    """The messages, with their payloads in one new file that is complete after the last; unchanged without a folder."""
    if folder is None:
        yield from messages
        return
    path = join(folder, uuid4().hex)
    with explain_errors(path, "write"), effects.create_file(path) as file:
        for target, payload in messages:
            start = file.tell()
            length = file.write(_coder().encode(payload))
            yield target, Spilled(path, start, length)


def read_spilled(payloads: Iterable[Any]) -> Iterator[Any]:
    """Every payload, from its spill file if it is in one."""
    for payload in payloads:
        if not isinstance(payload, Spilled):
            yield payload
            continue
        with explain_errors(payload.path, "read"), effects.open_file(payload.path) as file:
            file.seek(payload.start)
            yield _coder().decode(effects.read_fully(file, payload.length))


@cache
def _coder() -> FastPrimitivesCoder:
    """With which Beam itself encodes such values. Imported late: small inputs are deduplicated without Beam."""
    from apache_beam.coders import FastPrimitivesCoder

    return FastPrimitivesCoder()
