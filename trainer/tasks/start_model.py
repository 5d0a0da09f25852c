"""The model that post-training starts from: its settings, tokenizer and weights, which a new head or adapters join."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import nn

from trainer.data.tokenizer import TOKENIZER_FILE, Tokenizer, compare_tokenizers, load_tokenizer
from trainer.errors import UserError
from trainer.model.lora import LoraSettings, is_adapter, merge_adapters
from trainer.model.model_settings import ModelSettings
from trainer.model.policy_and_value import VALUE_PREFIX
from trainer.model.weights import fill_weight
from trainer.tasks.pretrain_settings import read_run_state
from trainer.training import checkpoint


class StartModel(NamedTuple):
    """A checkpoint to start from."""

    path: Path  # of the checkpoint
    settings: ModelSettings
    tokenizer: Tokenizer
    digest: str  # of its weights: a run does not resume from another start

    def fill(self, model: nn.Module) -> None:
        """Copy the weights into a model of the same shape, whose adapters or scalar head may be new.

        Adapters of the start are merged into its matrices; a new scalar head keeps its own weights.
        """
        weights, keeps_head = dict(model.named_parameters()), self.settings.scalar_head
        tensors = checkpoint.read_tensors(self.path, "model")
        if self.settings.lora is not None:
            tensors = merge_adapters(tensors, self.settings.lora)
        filled = set()
        for name, value in tensors:
            if name in weights and (keeps_head or weights[name].shape == value.shape):
                fill_weight(weights[name], value)
                filled.add(name)
        missing = [name for name in weights if name not in filled and not _may_be_new(name)]
        if missing:
            raise UserError(f"{self.path} lacks the weights of {missing[0]}; it is a checkpoint of another model")


def _may_be_new(name: str) -> bool:
    """Whether a model may have this weight though its start lacks it."""
    return is_adapter(name) or name == "head.weight" or name.startswith(VALUE_PREFIX)


def open_start(run: Path) -> StartModel:
    """The newest checkpoint of a run, or a checkpoint. Raises UserError for a model that is no decoder."""
    found = checkpoint.find_checkpoint(run)
    checkpoint.verify_checkpoint(found)
    state = read_run_state(found)
    settings = ModelSettings.model_validate(state.settings["model"])
    if settings.encoder_layers:
        raise UserError(f"{run}: an encoder-decoder; post-training needs a decoder")
    if settings.retro:
        raise UserError(f"{run}: reads retrieved neighbors (model.retro); post-training needs a plain decoder")
    return StartModel(found, settings, load_tokenizer(Path(str(state.settings["tokenizer"]))), state.model_digest)


def smallest_context(runs: Iterable[Path]) -> int:
    """Most tokens of a prompt with its answer that every run's model reads whole; a reward model reads an end, too."""
    models = [ModelSettings.model_validate(read_run_state(run).settings["model"]) for run in runs]
    return min(model.context_length - model.scalar_head for model in models)


def adapted(settings: ModelSettings, lora: LoraSettings | None, *, scalar_head: bool = False) -> ModelSettings:
    """The settings of the model that is trained: without the start's adapters, which are merged, and with new ones.

    A sparse model drops no tokens: the probability of an answer must not depend on the rest of its batch. Nor has it
    dropout, whatever its start had: a policy's ratio to itself would not be 1.
    """
    experts = settings.experts and settings.experts.model_copy(update={"capacity_factor": None, "dropout": 0.0})
    return settings.model_copy(update={"lora": lora, "scalar_head": scalar_head, "experts": experts})


def tokenizer_texts(tokenizer: Tokenizer | None) -> Mapping[str, str]:
    """What every checkpoint stores of the tokenizer."""
    return {} if tokenizer is None else {TOKENIZER_FILE: tokenizer.json}


def compare_stored_tokenizer(stored: Mapping[str, str], tokenizer: Tokenizer | None) -> str | None:
    """Why weights stored with these texts do not fit the tokenizer; None if they do, whatever the file's path."""
    if tokenizer is None:
        return None
    if TOKENIZER_FILE not in stored:
        return "no tokenizer to compare with this run's"
    return compare_tokenizers(stored[TOKENIZER_FILE], tokenizer)
