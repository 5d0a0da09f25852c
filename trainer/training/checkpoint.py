"""Checkpoints: all that a run needs to resume bitwise, in safetensors and JSON files (no pickle).

    RUN/checkpoints/latest                  the name of the newest checkpoint
    RUN/checkpoints/step-00000100/
        state.json                          step, tokens, data position, settings, hashes of the other files
        model-00001.safetensors ...         fp32 weights, by their names in the model
        optimizer-00001.safetensors ...     `<weight>/exp_avg`, `<weight>/exp_avg_sq`, `<weight>/step`
        rng.safetensors                     the generators of every rank
        tokenizer.json                      and other texts that the task stores: a checkpoint is whole by itself

`checkpoint_writer.py` writes them. The tensors of a file are whole, or parts with their offsets in its header; a rank
reads what its own shards need, whatever the number of ranks that wrote them and their mesh.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import xxhash
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from trainer.errors import UserError
from trainer.files import write_atomically
from trainer.settings import Settings
from trainer.training.distributed import World, count_ranks, wait_for_all
from trainer.training.optimizer import MOMENTS

READ_BYTES = 1 << 30  # of tensors read at a time
PREFIX = "step-"
# Every rank reads alone what it needs, which is intended; so does a single process that writes.
warnings.filterwarnings("ignore", "torch.distributed is disabled")
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
    keep_best: bool = Field(
        default=False,
        description="write a checkpoint whenever the validation loss is the lowest so far, keep that one, and use it "
        "where the run is named (chat, eval, export, the next training); the last one otherwise",
    )
    sharded: bool = Field(
        default=False,
        description="every rank writes its own shards, into a folder that all ranks see; the main rank writes gathered "
        "tensors otherwise. Both can be read by any number of ranks",
    )
    asynchronous: bool = Field(
        default=False,
        description="write shards in the background while the next steps compute; needs memory for a copy of them",
    )

    @model_validator(mode="after")
    def _check_sharded(self) -> CheckpointSettings:
        if self.asynchronous and not self.sharded:
            raise ValueError("checkpoints.asynchronous writes shards; set checkpoints.sharded = true too")
        return self


class BestValidation(BaseModel):
    """The lowest validation loss of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int  # steps taken before that validation
    loss: float
    waited: int = 0  # validations since


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
    best: BestValidation | None = None
    files: dict[str, tuple[int, str]] = {}  # name -> bytes, xxh3 128

    @property
    def model_digest(self) -> str:
        """Changes with any weight: the hashes of the files of the model."""
        weights = sorted(value for name, value in self.files.items() if name.startswith("model"))
        return "-".join(digest for _, digest in weights)


def digest_file(path: Path) -> str:
    """xxh3 128 of a file's bytes, hexadecimal."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def prune_checkpoints(folder: Path, settings: CheckpointSettings, best: BestValidation | None = None) -> None:
    """Delete the checkpoints that are not to be kept, and the temporary folders of killed runs."""
    found = list_checkpoints(folder)
    kept = {best.step} if best is not None and settings.keep_best else set()
    for path in found[: -settings.keep_last]:
        step = step_of(path)
        if step not in kept and (settings.keep_every is None or step % settings.keep_every):
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
    """The checkpoint at a path: the path itself; else of a run's folder the best one if it keeps one, or the latest.

    The latest names the best one, so there is no file that might disagree with it.
    """
    latest = find_latest_checkpoint(path)
    if latest == path:
        return path
    state = read_state(latest)
    if state.best is not None and state.settings.get("checkpoints", {}).get("keep_best"):
        best = latest.with_name(f"{PREFIX}{state.best.step:08d}")
        return best if (best / "state.json").is_file() else latest
    return latest


def find_latest_checkpoint(path: Path) -> Path:
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
        if not path.is_file() or path.stat().st_size != size or digest_file(path) != digest:
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
        if count_ranks(error is None, world) == world.size:
            if world.is_main:
                for damaged in errors:
                    log(f"{damaged}: it is set aside, {path.name} is the newest one that is whole")
                for newer in list_checkpoints(folder):
                    if step_of(newer) > step_of(path):
                        set_aside(newer)
                if not _is_latest(path):  # killed between the two
                    write_atomically(folder / "latest", path.name + "\n")
            wait_for_all(world)
            return path
        errors.append(error or CheckpointError(f"{path} cannot be read on another rank"))
    if errors:
        raise errors[0]
    return None


def _is_latest(checkpoint: Path) -> bool:
    try:
        return (checkpoint.parent / "latest").read_bytes() == f"{checkpoint.name}\n".encode()
    except OSError:
        return False


def read_texts(checkpoint: Path, names: Collection[str]) -> dict[str, str]:
    """The named texts that a checkpoint holds, after comparing their hashes."""
    present = [name for name in names if name in read_state(checkpoint).files]
    verify_checkpoint(checkpoint, present)
    return {name: (checkpoint / name).read_text("utf-8") for name in present}


class StoredTensors:
    """The tensors of `model`, `optimizer` or `rng` in a checkpoint, whole or in parts over several files."""

    def __init__(self, checkpoint: Path, stem: str) -> None:
        self._path = checkpoint
        if missing := [name for name in read_state(checkpoint).files if not (checkpoint / name).is_file()]:
            raise CheckpointError(f"{checkpoint / missing[0]} is missing; use an older checkpoint")
        try:
            metadata = HuggingFaceStorageReader(str(checkpoint)).read_metadata()
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{checkpoint} cannot be read ({error}); use an older checkpoint") from error
        places = {index.fqn: Path(place.relative_path).name for index, place in (metadata.storage_data or {}).items()}
        found = metadata.state_dict_metadata.items()
        self.entries = {
            name: entry
            for name, entry in found
            if isinstance(entry, TensorStorageMetadata) and places[name].startswith(f"{stem}-")
        }

    def check_shape(self, name: str, tensor: Tensor) -> None:
        """Raises CheckpointError where a tensor of another shape is stored."""
        if tuple(stored := self.entries[name].size) != tuple(tensor.shape):
            raise CheckpointError(
                f"{self._path}: {name}: a tensor of shape {tuple(stored)} does not fit a weight of shape "
                f"{tuple(tensor.shape)}"
            )

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill tensors, or this rank's parts of them: only what is needed is read."""
        for name, tensor in tensors.items():
            self.check_shape(name, tensor)
        values: dict[str, Any] = {name: tensor.detach() for name, tensor in tensors.items()}
        if values:
            load(values, storage_reader=HuggingFaceStorageReader(str(self._path)), no_dist=True)


def read_tensors(checkpoint: Path, stem: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors of `model`, `optimizer` or `rng`, READ_BYTES in memory at a time."""
    stored = StoredTensors(checkpoint, stem)
    held: dict[str, Tensor] = {}
    for name, entry in stored.entries.items():
        held[name] = torch.empty(entry.size, dtype=entry.properties.dtype)
        if sum(tensor.nbytes for tensor in held.values()) > READ_BYTES:
            stored.load(held)
            yield from held.items()
            held = {}
    stored.load(held)
    yield from held.items()


def load_weights(checkpoint: Path, model: nn.Module, unused: str | None = None) -> None:
    """Load a checkpoint's weights into a model, sharded or not; `unused`: the beginning of names that it may lack."""
    weights, stored = dict(model.named_parameters()), StoredTensors(checkpoint, "model")
    surplus = sorted(stored.entries.keys() - weights.keys())
    if unused is not None:
        surplus = [name for name in surplus if not name.startswith(unused)]
    if surplus:
        raise CheckpointError(
            f"{checkpoint} holds {surplus[0]}, which is not in the model; do its settings model.* differ?"
        )
    if missing := sorted(weights.keys() - stored.entries.keys()):
        raise CheckpointError(f"{checkpoint} lacks {', '.join(missing[:3])}; do its settings model.* differ?")
    stored.load(weights)


def load_optimizer(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load the optimizer's moments; weights that never had a gradient have none."""
    weights, stored = dict(model.named_parameters()), StoredTensors(checkpoint, "optimizer")
    targets = {}
    for key in stored.entries:
        name, _, moment = key.partition("/")
        if name not in weights or moment not in MOMENTS:
            raise CheckpointError(
                f"{checkpoint} holds {key}, which the optimizer lacks; do its settings optimizer.* or model.* differ?"
            )
        weight = weights[name]
        empty = torch.zeros((), device=weight.device) if moment == "step" else torch.zeros_like(weight).detach()
        targets[key] = optimizer.state[weight].setdefault(moment, empty)
    stored.load(targets)


def load_generators(checkpoint: Path, world: World) -> bool:
    """Set this rank's random generators; False, and nothing set, if another number of ranks wrote the checkpoint."""
    if read_state(checkpoint).world != world.size:
        return False
    states = safetensors.torch.load_file(checkpoint / "rng.safetensors")
    torch.set_rng_state(states[f"cpu.{world.rank}"])
    if world.device.type == "cuda" and f"cuda.{world.rank}" in states:
        torch.cuda.set_rng_state(states[f"cuda.{world.rank}"])
    return True
