"""The model of a checkpoint: loaded for use, or its stored weights for export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.model.build import build_model
from trainer.model.decoder import Decoder
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.lora import merge_adapters
from trainer.model.model_settings import ModelSettings
from trainer.model.policy_and_value import VALUE_PREFIX
from trainer.training import checkpoint
from trainer.training.checkpoint import CheckpointError


class SavedModel(NamedTuple):
    """What a checkpoint stores of a model."""

    settings: ModelSettings
    weights: Iterator[tuple[str, Tensor]]  # fp32, by the names of nn.Module.named_parameters


def read_saved_model(path: Path, *, merged: bool = True) -> SavedModel:
    """The model of a run or a checkpoint, after comparing the hashes of its files.

    merged: adapters are merged into the matrices beside them; else they are weights of their own.
    """
    found = checkpoint.find_checkpoint(path)
    checkpoint.verify_checkpoint(found)
    settings, stored = _model_settings(found), checkpoint.read_tensors(found, "model")
    weights = ((name, value) for name, value in stored if not name.startswith(VALUE_PREFIX))
    if settings.lora is None or not merged:
        return SavedModel(settings, weights)
    return SavedModel(settings.model_copy(update={"lora": None}), merge_adapters(weights, settings.lora))


def load_model(path: Path, device: torch.device | str = "cpu") -> Decoder | EncoderDecoder:
    """The model of a run or a checkpoint, in evaluation mode."""
    found = checkpoint.find_checkpoint(path)
    model = build_model(_model_settings(found))
    model.to_empty(device=device)
    checkpoint.load_weights(found, model, unused=VALUE_PREFIX)
    return model.eval()


def load_decoder(path: Path, device: torch.device | str = "cpu") -> Decoder:
    """`load_model` for uses that need a decoder."""
    model = load_model(path, device)
    if not isinstance(model, Decoder):
        raise CheckpointError(
            f"{path} holds an encoder-decoder and a decoder is needed; `gristmill train generate` takes both"
        )
    return model


def _model_settings(found: Path) -> ModelSettings:
    return ModelSettings.model_validate(checkpoint.read_state(found).settings["model"])
