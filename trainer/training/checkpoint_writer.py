"""Write checkpoints: gathered by the main rank or as shards by all, at once or while the next steps compute.

A checkpoint is written into a temporary folder, flushed to disk file by file, and renamed by the main rank after all
ranks are done: after a kill or on a full disk it is complete or absent, whatever way it was written. Shards are written
by torch.distributed.checkpoint, each rank its own parts with their offsets, so that any number of ranks can read them;
all ranks must see the folder. Gathered tensors pass through the main rank one by one, and need no shared folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_saver import async_save, save

from trainer.files import flush_to_disk, save_tensors, write_atomically
from trainer.training.checkpoint import (
    PREFIX,
    CheckpointError,
    CheckpointSettings,
    RunState,
    digest_file,
    prune_checkpoints,
)
from trainer.training.distributed import World, full_tensor, gather_from_ranks, wait_for_all
from trainer.training.optimizer import moments

FILE_BYTES = 4 << 30  # of gathered tensors in one file; also the memory needed to save
STEMS = {1: "model", 2: "optimizer"}  # numbers of the files that a rank writes

Files = dict[str, tuple[int, str]]  # name -> bytes, xxh3 128


class CheckpointWriter:
    """Writes the checkpoints of a run into a folder, one at a time. Every method is called on every rank."""

    def __init__(self, folder: Path, settings: CheckpointSettings, world: World) -> None:
        self._folder, self._settings, self._world = folder, settings, world
        self._group = dist.new_group(backend="gloo") if world.size > 1 and settings.sharded else None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None

    def save(
        self,
        state: RunState,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        texts: Mapping[str, str] | None = None,
    ) -> Path:
        """Write `folder`/step-N and delete the checkpoints that are not to be kept. texts: further files, by name.

        Asynchronously, the weights have been copied when this returns, and the checkpoint exists after `wait`.
        """
        self.wait()
        final = self._folder / f"{PREFIX}{state.step:08d}"
        temporary = self._folder / f".{final.name}.tmp"
        self._begin(temporary, texts or {})
        if not self._settings.sharded:
            files = self._write_gathered(temporary, model, optimizer)
            self._finish(temporary, final, state, files)
            wait_for_all(self._world)
            return final
        written = self._write_shards(temporary, model, optimizer)
        self._pending = self._thread.submit(self._finish_shards, written, temporary, final, state)
        if not self._settings.asynchronous:
            self.wait()
            wait_for_all(self._world)
        return final

    def wait(self) -> None:
        """Wait for the checkpoint that is being written; raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the last checkpoint; without an error on all ranks."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
        if kind is None:
            wait_for_all(self._world)

    def _begin(self, temporary: Path, texts: Mapping[str, str]) -> None:
        """A new temporary folder with all files but weights and moments."""
        generators = dict(_generators(self._world))
        if self._world.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_tensors(generators, temporary / "rng.safetensors")
            for name, text in texts.items():
                write_atomically(temporary / name, text)
        wait_for_all(self._world)

    def _write_gathered(self, temporary: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Files:
        _gather_tensors(temporary, "model", model.named_parameters(), self._world)
        _gather_tensors(temporary, "optimizer", moments(model, optimizer), self._world)
        return _seal(temporary.iterdir()) if self._world.is_main else {}

    def _write_shards(self, temporary: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Future[Any] | None:
        """This rank's parts as files of its own; a future if they are still being written."""
        tensors = {name: weight.detach() for name, weight in model.named_parameters()}
        numbers = dict.fromkeys(tensors, 1)
        for name, moment in moments(model, optimizer):
            tensors[name], numbers[name] = moment.detach(), 2
        writer = HuggingFaceStorageWriter(str(temporary), numbers, save_distributed=True)
        ranks: dict[str, Any] = {"process_group": self._group, "no_dist": self._group is None}
        if not self._settings.asynchronous:
            with _plain_errors(temporary):
                save(tensors, storage_writer=writer, **ranks)
            return None
        stager = DefaultStager(StagingOptions(False, False, False, False))
        return cast("Future[Any]", async_save(tensors, storage_writer=writer, async_stager=stager, **ranks))

    def _finish_shards(self, written: Future[Any] | None, temporary: Path, final: Path, state: RunState) -> None:
        """Wait for this rank's files and hash them; the main rank ends the checkpoint if all ranks succeeded."""
        mine: Files | str
        error: Exception | None = None
        try:
            if written is not None:
                with _plain_errors(temporary):
                    written.result()
            number = f"{self._world.rank + 1:05d}"
            shards = sorted(temporary.glob(f"shard-{number}-*"))
            stems = (STEMS[int(path.name.split("-")[3])] for path in shards)
            mine = _seal(
                path.rename(temporary / f"{stem}-{number}.safetensors")
                for stem, path in zip(stems, shards, strict=True)
            )
        except Exception as found:  # reported to all ranks, so that none waits for this one
            mine, error = f"rank {self._world.rank}: {found}", found
        everyone: list[Any] = [mine]
        if self._group is not None:
            everyone = [None] * self._world.size
            dist.all_gather_object(everyone, mine, group=self._group)
        if error is not None:
            raise error
        if failed := [outcome for outcome in everyone if isinstance(outcome, str)]:
            raise CheckpointError(f"{final} was not written: {failed[0]}")
        if self._world.is_main:
            files = {name: entry for outcome in everyone for name, entry in outcome.items()}
            rest = [path for path in temporary.iterdir() if path.name not in files]
            self._finish(temporary, final, state, files | _seal(rest))

    def _finish(self, temporary: Path, final: Path, state: RunState, files: Files) -> None:
        """Write state.json, rename, and delete old checkpoints: by the main rank."""
        if not self._world.is_main:
            return
        complete = state.model_copy(update={"files": dict(sorted(files.items()))})
        write_atomically(temporary / "state.json", complete.model_dump_json(indent=1))
        if final.exists():  # this step was saved before, then the run resumed from an older checkpoint
            final.rename(temporary.with_suffix(".old.tmp"))
        temporary.rename(final)
        flush_to_disk(final.parent)
        write_atomically(final.parent / "latest", final.name + "\n")
        prune_checkpoints(self._folder, self._settings, state.best)


@contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    """torch.distributed.checkpoint raises a BaseException when a rank cannot write; in its place, that rank's error."""
    try:
        yield
    except CheckpointException as error:
        rank, (failure, _) = min(error.failures.items())
        raise CheckpointError(f"{folder}: rank {rank} cannot write it ({failure})") from failure


def _seal(paths: Iterable[Path]) -> Files:
    """Flush files to disk; their sizes and hashes."""
    found: Files = {}
    for path in paths:
        flush_to_disk(path)
        found[path.name] = (path.stat().st_size, digest_file(path))
    return found


def _gather_tensors(folder: Path, stem: str, tensors: Iterable[tuple[str, Tensor]], world: World) -> None:
    """Gather shards tensor by tensor, and write a file when FILE_BYTES are reached."""
    held: dict[str, Tensor] = {}
    files = size = 0
    for name, tensor in tensors:
        value = full_tensor(tensor)
        if not world.is_main:
            continue
        if held and size + value.nbytes > FILE_BYTES:
            files += 1
            save_tensors(held, folder / f"{stem}-{files:05d}.safetensors")
            held, size = {}, 0
        held[name] = value.cpu().contiguous()
        size += value.nbytes
    if held:
        save_tensors(held, folder / f"{stem}-{files + 1:05d}.safetensors")


def _generators(world: World) -> Iterator[tuple[str, Tensor]]:
    """The state of torch's generators on every rank."""
    states = {"cpu": torch.get_rng_state()}
    if world.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    for kind, state in states.items():
        for rank, value in enumerate(gather_from_ranks(state.to(world.device), world)):
            yield f"{kind}.{rank}", value.cpu().clone()
