"""All settings of a pretraining run, from a TOML file, a preset or an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field, model_validator

from trainer.config import apply_changes, read_config, validate_settings
from trainer.data.packing import Packing
from trainer.data.sources import DataSettings
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.model.model_settings import ModelSettings
from trainer.retrieval.neighbors import NeighborSettings
from trainer.tasks.denoising import ObjectiveSettings
from trainer.tasks.depth import DepthSettings, plan_depth
from trainer.training import checkpoint
from trainer.training.checkpoint import RunState
from trainer.training.mesh import find_misfit
from trainer.training.training_settings import TrainingSettings


class PretrainSettings(TrainingSettings):
    """Tokenizer, data, model and objective, and how they are trained."""

    tokenizer: Path = Field(
        default=Path("tokenizer.json"), description="path of a tokenizer.json, or of the folder that holds it"
    )
    data: DataSettings = Field(
        default=DataSettings(), description="data sources, and how their mixture is cut into batches"
    )
    model: ModelSettings = Field(default=ModelSettings(), description="shape and initialization of the network")
    objective: ObjectiveSettings = Field(
        default=ObjectiveSettings(), description="training objective: next-token prediction, or denoising"
    )

    retrieval: NeighborSettings | None = Field(
        default=None, description="where the neighbors that model.retro reads come from; none if unset"
    )

    @model_validator(mode="after")
    def _check_retrieval(self) -> PretrainSettings:
        if self.retrieval is not None and self.model.retro is None:
            raise ValueError("retrieval.database is read by a model with model.retro only; give model.retro = {}")
        if self.model.retro is not None and self.objective.denoisers:
            raise ValueError("model.retro predicts next tokens; leave objective.denoisers out")
        if self.model.retro is not None and self.data.sequence_length < self.model.retro.chunk_tokens:
            raise ValueError("data.sequence_length is below model.retro.chunk_tokens: no chunk would be whole")
        return self

    @model_validator(mode="after")
    def _check_objective(self) -> PretrainSettings:
        if self.model.encoder_layers and not self.objective.denoisers:
            raise ValueError("an encoder-decoder learns by denoising; give objective.denoisers (span corruption: [{}])")
        if self.objective.denoisers and self.data.packing is not Packing.CUT:
            raise ValueError("a denoised sequence is one text without padding; leave data.packing = cut")
        return self

    @model_validator(mode="after")
    def _check_parallel(self) -> PretrainSettings:
        if misfit := find_misfit(self.parallel, self.model):
            raise ValueError(misfit)
        return self


Kind = TypeVar("Kind", bound=PretrainSettings)


def read_pretrain_settings(
    source: str | None, changes: Sequence[str] = (), data: str | None = None, tokenizer: Path | None = None
) -> PretrainSettings:
    """Settings of a TOML file, a preset, the folder of a run or the defaults, with `section.key=value` changes.

    data: a curated dataset, used as the only source, `web`.
    """
    more = [] if tokenizer is None else [f"tokenizer={str(tokenizer)!r}"]
    more += [] if data is None else [f"data.sources={{web = {{path = {data!r}}}}}"]
    if source is None or not Path(source).is_dir():
        return read_config(PretrainSettings, source, [*more, *changes])
    stored = read_run_state(Path(source)).settings
    known = {name: value for name, value in stored.items() if name in PretrainSettings.model_fields}
    return change_settings(validate_settings(PretrainSettings, known, source), [*more, *changes], source)


def read_run_state(path: Path) -> RunState:
    """The state of a run or checkpoint; the tokenizer of its settings is the copy in the checkpoint."""
    found = checkpoint.find_checkpoint(path)
    state = checkpoint.read_state(found)
    if TOKENIZER_FILE not in state.files:
        return state
    checkpoint.verify_checkpoint(found, [TOKENIZER_FILE])
    return state.model_copy(update={"settings": {**state.settings, "tokenizer": str(found / TOKENIZER_FILE)}})


def change_settings(settings: Kind, changes: Sequence[str], source: str = "the run") -> Kind:
    """The same settings with `section.key=value` changes."""
    return validate_settings(type(settings), apply_changes(settings.model_dump(mode="json"), changes), source)


def apply_depth(settings: Kind, depth: int, vocab_size: int, rules: DepthSettings) -> Kind:
    """The settings with what the depth decides in place of their own."""
    values = settings.model_dump(mode="json")
    for table, decided in plan_depth(depth, vocab_size, rules).items():
        values[table] |= decided
    return validate_settings(type(settings), values, f"of depth {depth}")
