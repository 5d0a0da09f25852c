"""Faults at the n-th call of the operating system, for what the trainer stores: checkpoints, metrics, token files.

    python -m tests.trainer.faults                         every call of every scenario, with every fault
    python -m tests.trainer.faults --scenario train --call 17 --fault torn

Python announces each file that it opens, renames or deletes to audit hooks; a hook may raise. So no code of the trainer
has to be changed to let its n-th call fail. After a kill every further call fails, as after `kill -9`: nothing is
cleaned up. After a power failure, what was not flushed is lost, too.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import safetensors.torch

from tests.trainer import runs
from tests.trainer.curated import pages, write_dataset
from trainer.data import token_files, tokenize_dataset
from trainer.data.curated_dataset import open_dataset
from trainer.data.removal import remove_documents
from trainer.data.token_exports import export_tokens
from trainer.data.token_files import open_tokens
from trainer.data.token_formats import TokenFormat
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.training import checkpoint
from trainer.training.metrics import read_metrics

MODULE = "python -m tests.trainer.faults"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """The process is gone; nothing that it would do afterwards happens."""


class Fault(StrEnum):
    """What happens at a call."""

    FULL = "full"  # ENOSPC
    KILL = "kill"  # before the call
    TORN = "torn"  # the same, and half of the file that was being written is missing
    POWER = "power"  # the same, and what was not flushed is lost


@dataclass
class Disk:
    """Counts the calls that change files below a folder, and lets one of them fail."""

    folder: str
    number: int = 0  # of the call with the fault
    fault: Fault | None = None
    calls: int = 0
    dead: bool = False
    is_torn: bool = False  # the fault could happen: a file was being written
    _written: str = ""  # by the call before this one
    _flushed: dict[int, int] = field(default_factory=dict)  # inode of each written file -> bytes on the disk
    _opened: list[str] = field(default_factory=list)  # since the last call
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def call(self, path: str, *, writes: bool = False) -> None:
        """Raises what happens at this call."""
        if not path.startswith(self.folder):
            return
        with self._lock:
            if self.dead:
                raise Killed
            self._note_opened()
            self.calls += 1
            before, self._written = self._written, path if writes else ""
            if writes:
                self._opened.append(path)
            if self.calls == self.number:
                self._fail(path, before)

    def sync(self, descriptor: int) -> None:
        """A flushed file keeps its bytes."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.call(path)
        with self._lock:
            found = os.fstat(descriptor)
            if found.st_ino in self._flushed:
                self._flushed[found.st_ino] = found.st_size

    def _note_opened(self) -> None:
        for path in self._opened:
            if os.path.isfile(path):
                self._flushed.setdefault(os.stat(path).st_ino, 0)
        self._opened.clear()

    def _fail(self, path: str, before: str) -> None:
        if self.fault is Fault.FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self.dead = True
        if self.fault is Fault.TORN and before and os.path.isfile(before):
            self.is_torn = True
            os.truncate(before, os.stat(before).st_size // 2)
        if self.fault is Fault.POWER:
            for file in (each for each in Path(self.folder).rglob("*") if each.is_file()):
                if (kept := self._flushed.get(file.stat().st_ino)) is not None:
                    os.truncate(file, kept)
        raise Killed


_disk: Disk | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    disk = _disk
    if disk is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, str | bytes | os.PathLike) and (flags & _WRITING or set(mode or "") & set("wax+")):
            disk.call(os.fspath(path) if not isinstance(path, bytes) else path.decode(), writes="a" not in (mode or ""))
    elif event in ("os.remove", "os.rmdir", "os.mkdir"):
        disk.call(_whole(arguments[0], arguments[-1]))
    elif event in ("os.rename", "os.link"):
        disk.call(_whole(arguments[1], arguments[-1]))


def _whole(path: Any, folder: int) -> str:
    """The path; of a name in an open folder, as `shutil.rmtree` deletes it, too."""
    name = os.fsdecode(path)
    if folder >= 0 and not os.path.isabs(name):
        return f"{os.readlink(f'/proc/self/fd/{folder}')}/{name}"
    return os.path.abspath(name)


@cache
def _install() -> None:
    sys.addaudithook(_audit)  # for ever: it cannot be removed


@contextmanager
def on(disk: Disk) -> Iterator[None]:
    """Puts the disk under all calls of the block, and under those of libraries that open files without Python."""
    global _disk
    _install()
    save, write, sync = safetensors.torch.save_file, pq.write_table, os.fsync

    def announce(function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            disk.call(os.fspath(arguments[place]), writes=True)
            return function(*arguments, **options)

        return call

    def flush(descriptor: int) -> None:
        disk.sync(descriptor)
        sync(descriptor)

    with (
        patch.object(safetensors.torch, "save_file", announce(save, 1)),
        patch.object(pq, "write_table", announce(write, 1)),
        patch.object(os, "fsync", flush),
    ):
        _disk = disk
        try:
            yield
        finally:
            _disk = None


# --- what is run, and what must come of it ---

_CHANGES = {
    "model": {"hidden_size": 16, "layers": 1, "heads": 2, "kv_heads": 1},
    "loop": {"steps": 4},
    "schedule": {"warmup_steps": 1},
    "checkpoints": {"every": 1, "keep_last": 2},
}


def train(out: Path, **checkpoints: bool) -> None:
    changes = {**_CHANGES, "checkpoints": {**_CHANGES["checkpoints"], **checkpoints}}
    runs.run(out / "run", changes)


def trained(out: Path) -> object:
    """The weights, moments and generators at the end, and the loss of every step."""
    last = checkpoint.find_checkpoint(out / "run")
    rows = [(row["step"], row["loss"]) for row in read_metrics(out / "run")]
    tensors = (each for stem in ("model", "optimizer", "rng") for each in checkpoint.read_tensors(last, stem))
    # By value: torch writes the tensors of a shard in any order.
    values = sorted((name, hashlib.sha256(value.numpy().tobytes()).hexdigest()) for name, value in tensors)
    return last.name, values, rows


def check_checkpoints(out: Path) -> None:
    """What is listed is whole."""
    for path in checkpoint.list_checkpoints(out / "run" / "checkpoints"):
        checkpoint.verify_checkpoint(path)


@cache
def _dataset() -> tuple[Any, Any]:
    rows = pages(12, words=(5, 20))
    folder = Path(tempfile.mkdtemp(prefix="faults-data-"))
    tokenizer = train_tokenizer([row["text"] for row in rows], TokenizerSettings(vocab_size=640))
    return open_dataset(str(write_dataset(folder / "set", rows))), tokenizer


def tokenize(out: Path) -> None:
    dataset, tokenizer = _dataset()
    for cached in (tokenize_dataset._load_once, token_files._row_group_starts, token_files.read_provenance):
        cached.cache_clear()  # a new process has none
    folder = tokenize_dataset.tokenize_dataset(dataset, tokenizer, out / "tokens", 1, progress=False)
    open_tokens(folder, "web")


def tokenized(out: Path) -> object:
    (folder,) = (path for path in (out / "tokens").iterdir() if path.is_dir())
    corpus = open_tokens(folder, "web").corpus
    return corpus.fingerprint, corpus.weight.tolist(), [corpus.describe(number) for number in range(12)]


def check_tokens(out: Path) -> None:
    """Whoever opens the tokens gets all of them, or one line that says what to do."""
    for summary in (out / "tokens").glob("*/tokens.json"):
        try:
            open_tokens(summary.parent, "web")
        except UserError as error:
            if "gristmill train tokens" not in error.message:
                raise


@cache
def _tokens() -> Path:
    """A folder with `tokens`, which the scenarios that begin with them copy."""
    folder = Path(tempfile.mkdtemp(prefix="faults-tokens-"))
    tokenize(folder)
    return folder


def _store(out: Path) -> Path:
    (folder,) = (path.parent for path in (out / "tokens").glob("*/tokens.json"))
    return folder


def copy_tokens(out: Path) -> None:
    shutil.copytree(_tokens() / "tokens", out / "tokens")


def remove(out: Path) -> None:
    corpus = open_tokens(_store(_tokens()), "web").corpus
    remove_documents(out / "tokens", [corpus.describe(number).id for number in (1, 5)])


def removed(out: Path) -> object:
    """The bytes of every file; those that say which files were verified hold times."""
    files = sorted(path for path in _store(out).iterdir() if path.is_file() and "verified" not in path.name)
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def export(out: Path) -> None:
    for kind in TokenFormat:
        if not (out / kind / "export.json").exists():  # a second export into a folder is refused
            export_tokens(_store(_tokens()), kind, out / kind, sequence_length=64)


def exported(out: Path) -> object:
    """The names of all files and their bytes; nothing beside the four folders."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return [(str(path.relative_to(out)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def check_exports(out: Path) -> None:
    """A folder that is there is whole."""
    for kind in TokenFormat:
        assert not (out / kind).exists() or (out / kind / "export.json").exists(), f"half of {kind}"


def nothing(_: Path) -> None:
    """The state that a scenario begins with is an empty folder."""


@dataclass(frozen=True)
class Scenario:
    """A command, what it must leave, what holds at every moment, and the state that it starts from."""

    run: Callable[[Path], None]
    content: Callable[[Path], object]
    check: Callable[[Path], None]
    before: Callable[[Path], None] = nothing


SCENARIOS = {
    "train": Scenario(train, trained, check_checkpoints),
    "sharded": Scenario(partial(train, sharded=True), trained, check_checkpoints),
    "asynchronous": Scenario(partial(train, sharded=True, asynchronous=True), trained, check_checkpoints),
    "tokens": Scenario(tokenize, tokenized, check_tokens),
    "remove": Scenario(remove, removed, check_tokens, copy_tokens),
    "export": Scenario(export, exported, check_exports),
}


class Faults:
    """Runs a scenario with one fault, then again without; counts what came of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.scenario, self.folder = SCENARIOS[name], folder
        self.outcomes: Counter[str] = Counter()
        disk = Disk(str(self._new()))
        with on(disk):
            self.scenario.run(self.out)
        self.calls = disk.calls
        self.expected = self._digest()

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def _new(self) -> Path:
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.scenario.before(self.out)
        return self.out

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self.scenario.content(self.out), default=str).encode()).hexdigest()

    def try_call(self, number: int, fault: Fault) -> None:
        """Raises AssertionError or an internal error where a promise is broken."""
        disk = Disk(str(self._new()), number, fault)
        try:
            with on(disk):
                self.scenario.run(self.out)
            outcome = "done"
        except Killed:
            outcome = "killed"
        except (UserError, OSError) as error:
            outcome = "killed" if disk.dead else type(error).__name__
            if not disk.dead and str(self.out) not in str(error):
                raise AssertionError(f"the error names no file: {error}") from error
        self.scenario.check(self.out)
        if outcome == "done":
            assert self._digest() == self.expected, "no error, and another content"
        self.scenario.run(self.out)
        assert self._digest() == self.expected, f"{outcome}, and another content after the next run"
        self.outcomes[outcome] += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", choices=list(SCENARIOS), action="append")
    parser.add_argument("--call", type=int)
    parser.add_argument("--fault", type=Fault, choices=list(Fault), action="append")
    parser.add_argument("--step", type=int, default=1, help="only one call of so many")
    arguments = parser.parse_args()
    logging.disable()
    failures = 0
    for name in arguments.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            faults = Faults(name, Path(folder))
            numbers = [arguments.call] if arguments.call else range(1, faults.calls + 1, arguments.step)
            for number in numbers:
                for fault in arguments.fault or Fault:
                    try:
                        faults.try_call(number, fault)
                    except Exception as error:
                        failures += 1
                        print(f"FAILED: {type(error).__name__}: {error}")
                        print(f"    {MODULE} --scenario {name} --call {number} --fault {fault}", flush=True)
                        if arguments.call:
                            traceback.print_exception(error)
            ends = ", ".join(f"{outcome} {count:,}" for outcome, count in faults.outcomes.most_common())
            print(f"{name}: {faults.calls} calls; {ends}; after each the next run had the same content", flush=True)
    print(f"{failures} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
