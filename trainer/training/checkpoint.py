"""Checkpoints: all that a run needs to resume bitwise, in safetensors and JSON files (no pickle).

    RUN/checkpoints/latest                  the name of the newest checkpoint
    RUN/checkpoints/step-00000100/
        state.json                          step, tokens, data position, settings, hashes of the other files
        model-00001.safetensors ...         fp32 weights, by their names in the model
        optimizer-00001.safetensors ...     `<weight>/exp_avg`, `<weight>/exp_avg_sq`, `<weight>/step`
        rng.safetensors                     the generators of every rank
        tokenizer.json                      and other texts that the task stores: a checkpoint is whole by itself

A checkpoint is written into a temporary folder, flushed to disk file by file, and renamed: after a kill or on a full
disk a checkpoint is complete or absent. FSDP's shards are gathered one tensor at a time, so the files do not depend on
the number of ranks, and saving needs no more memory than one file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import xxhash
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from trainer.errors import UserError
from trainer.files import flush_to_disk, write_atomically
from trainer.model.weights import fill_weight
from trainer.settings import Settings
from trainer.training.distributed import World, full_tensor, gather_from_ranks, sum_over_ranks, wait_for_all
from trainer.training.optimizer import MOMENTS, moments

FILE_BYTES = 4 << 30  # of tensors in one file; also the memory needed to save
PREFIX = "step-"
VERSION = 3  # of the format; raised when an older reader would misread it


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another model or run."""


class CheckpointSettings(Settings):
    """When checkpoints are written, and which are kept."""

    every: int = Field(default=500, ge=1, description="steps between checkpoints; the last step always has one")
    keep_last: int = Field(default=3, ge=1, description="number of newest checkpoints that are kept")
    keep_every: int | None = Field(
        default=None, ge=1, description="checkpoints at multiples of this step are never deleted; none if unset"
    )


class RunState(BaseModel):
    """The state of a run, as `state.json` stores it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    step: int  # optimizer steps taken
    tokens: int  # counted in the loss so far
    learning_rate: float  # of the last step taken
    data: dict[str, Any]  # fingerprint of the task's data, and the task's position in it
    settings: dict[str, Any]  # all settings of the run
    precision: str  # chosen when the run began
    world: int  # ranks that wrote it
    torch: str  # version
    losses: tuple[float, ...] = ()  # the spike detector's windows
    gradient_norms: tuple[float, ...] = ()
    files: dict[str, tuple[int, str]] = {}  # name -> bytes, xxh3 128


def save_checkpoint(
    folder: Path,
    state: RunState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    world: World,
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Write `folder`/step-N atomically. Called on every rank; rank 0 writes. texts: further files, by name."""
    final = folder / f"{PREFIX}{state.step:08d}"
    temporary = folder / f".{final.name}.tmp"
    if world.is_main:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    _write_tensors(temporary, "model", model.named_parameters(), world)
    _write_tensors(temporary, "optimizer", moments(model, optimizer), world)
    generators = list(_generators(world))
    if world.is_main:
        safetensors.torch.save_file(dict(generators), temporary / "rng.safetensors")
        for name, text in (texts or {}).items():
            (temporary / name).write_text(text, "utf-8")
        _finish(temporary, final, state)
    wait_for_all(world)
    return final


def _write_tensors(folder: Path, stem: str, tensors: Iterable[tuple[str, Tensor]], world: World) -> None:
    """Gather shards tensor by tensor, and write a file when FILE_BYTES are reached."""
    held: dict[str, Tensor] = {}
    files = size = 0
    for name, tensor in tensors:
        value = full_tensor(tensor)
        if not world.is_main:
            continue
        if held and size + value.nbytes > FILE_BYTES:
            files += 1
            safetensors.torch.save_file(held, folder / f"{stem}-{files:05d}.safetensors")
            held, size = {}, 0
        held[name] = value.cpu().contiguous()
        size += value.nbytes
    if held:
        safetensors.torch.save_file(held, folder / f"{stem}-{files + 1:05d}.safetensors")


def _generators(world: World) -> Iterator[tuple[str, Tensor]]:
    """The state of torch's generators on every rank."""
    states = {"cpu": torch.get_rng_state()}
    if world.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    for kind, state in states.items():
        for rank, value in enumerate(gather_from_ranks(state.to(world.device), world)):
            yield f"{kind}.{rank}", value.cpu().clone()


def _finish(temporary: Path, final: Path, state: RunState) -> None:
    """Hash and flush the files, write state.json, and rename."""
    files = {path.name: (path.stat().st_size, _digest(path)) for path in sorted(temporary.iterdir())}
    complete = state.model_copy(update={"files": files})
    (temporary / "state.json").write_text(complete.model_dump_json(indent=1), "utf-8")
    for path in temporary.iterdir():
        flush_to_disk(path)
    flush_to_disk(temporary)
    if final.exists():  # this step was saved before, then the run resumed from an older checkpoint
        final.rename(temporary.with_suffix(".old.tmp"))
    temporary.rename(final)
    flush_to_disk(final.parent)
    write_atomically(final.parent / "latest", final.name + "\n")


def _digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def prune_checkpoints(folder: Path, settings: CheckpointSettings) -> None:
    """Delete the checkpoints that are not to be kept, and the temporary folders of killed runs."""
    found = list_checkpoints(folder)
    for path in found[: -settings.keep_last]:
        if settings.keep_every is None or step_of(path) % settings.keep_every:
            removed = path.rename(path.with_name(f".{path.name}.tmp"))
            shutil.rmtree(removed)
    for path in folder.glob(f".{PREFIX}*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / "state.json").is_file())


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def find_checkpoint(path: Path) -> Path:
    """The checkpoint at a path: the path itself, or the latest in a run's folder or its checkpoints folder."""
    if (path / "state.json").is_file():
        return path
    for folder in (path / "checkpoints", path):
        if (folder / "latest").is_file():
            name = (folder / "latest").read_text("utf-8").strip()
            if name.startswith(PREFIX) and (folder / name / "state.json").is_file():
                return folder / name
        if found := list_checkpoints(folder):
            return found[-1]
    raise CheckpointError(f"{path}: no checkpoint here; name a step-... folder, or the folder of a run that wrote one")


def read_state(checkpoint: Path) -> RunState:
    """The state of a checkpoint."""
    try:
        values = json.loads((checkpoint / "state.json").read_text("utf-8"))
        if isinstance(values, dict) and values.get("version") != VERSION:
            raise CheckpointError(
                f"{checkpoint} has format {values.get('version')} and this version reads format {VERSION}; "
                "use the version that wrote it, or train again"
            )
        return RunState.model_validate(values)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, not JSON, or not a state
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{checkpoint}/state.json cannot be read ({reason}); use an older checkpoint") from error


def verify_checkpoint(checkpoint: Path, names: Collection[str] | None = None) -> None:
    """Refuse a checkpoint with a missing or changed file. names: the files to look at; all if None."""
    for name, (size, digest) in read_state(checkpoint).files.items():
        path = checkpoint / name
        if names is not None and name not in names:
            continue
        if not path.is_file() or path.stat().st_size != size or _digest(path) != digest:
            raise CheckpointError(
                f"{path} is missing or not what was written (size or hash differ); use an older checkpoint"
            )


def set_aside(checkpoint: Path) -> Path:
    """Rename a damaged checkpoint so that it is neither found nor counted among those to keep."""
    aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return checkpoint.rename(aside)


def find_intact_checkpoint(folder: Path, world: World, log: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose files are what was written; None where there is none at all.

    Damaged newer ones are set aside, each with one line; if all are damaged, the newest one's error is raised. All
    ranks decide alike.
    """
    errors: list[CheckpointError] = []
    for path in reversed(list_checkpoints(folder)):
        error = None
        try:
            verify_checkpoint(path)
        except CheckpointError as found:
            error = found
        votes = sum_over_ranks(torch.tensor(float(error is None), device=world.device), world)
        if float(votes) == world.size:
            if world.is_main:
                for damaged in errors:
                    log(f"{damaged}: it is set aside, {path.name} is the newest one that is whole")
                for newer in list_checkpoints(folder):
                    if step_of(newer) > step_of(path):
                        set_aside(newer)
            wait_for_all(world)
            return path
        errors.append(error or CheckpointError(f"{path} cannot be read on another rank"))
    if errors:
        raise errors[0]
    return None


def read_texts(checkpoint: Path, names: Collection[str]) -> dict[str, str]:
    """The named texts that a checkpoint holds, after comparing their hashes."""
    present = [name for name in names if name in read_state(checkpoint).files]
    verify_checkpoint(checkpoint, present)
    return {name: (checkpoint / name).read_text("utf-8") for name in present}


def read_tensors(checkpoint: Path, stem: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors of `model`, `optimizer` or `rng`, one in memory at a time."""
    for path in sorted(checkpoint.glob(f"{stem}*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping: it has nothing but keys()
                yield name, file.get_tensor(name)


def load_weights(checkpoint: Path, model: nn.Module) -> None:
    """Load a checkpoint's weights into a model, sharded or not."""
    weights = dict(model.named_parameters())
    missing = set(weights)
    for name, value in read_tensors(checkpoint, "model"):
        if name not in weights:
            raise CheckpointError(
                f"{checkpoint} holds {name}, which is not in the model; do its settings model.* differ?"
            )
        try:
            fill_weight(weights[name], value)
        except ValueError as error:
            raise CheckpointError(f"{checkpoint}: {name}: {error}") from error
        missing.discard(name)
    if missing:
        raise CheckpointError(f"{checkpoint} lacks {', '.join(sorted(missing)[:3])}; do its settings model.* differ?")


def load_optimizer(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load the optimizer's moments; weights that never had a gradient have none."""
    weights = dict(model.named_parameters())
    for key, value in read_tensors(checkpoint, "optimizer"):
        name, _, moment = key.partition("/")
        if name not in weights or moment not in MOMENTS:
            raise CheckpointError(
                f"{checkpoint} holds {key}, which the optimizer lacks; do its settings optimizer.* or model.* differ?"
            )
        weight = weights[name]
        empty = torch.zeros((), device=weight.device) if moment == "step" else torch.zeros_like(weight)
        fill_weight(optimizer.state[weight].setdefault(moment, empty), value)


def load_generators(checkpoint: Path, world: World) -> bool:
    """Set this rank's random generators; False, and nothing set, if another number of ranks wrote the checkpoint."""
    if read_state(checkpoint).world != world.size:
        return False
    states = dict(read_tensors(checkpoint, "rng"))
    torch.set_rng_state(states[f"cpu.{world.rank}"])
    if world.device.type == "cuda" and f"cuda.{world.rank}" in states:
        torch.cuda.set_rng_state(states[f"cuda.{world.rank}"])
    return True
