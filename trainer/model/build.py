"""The network that the settings describe, and the blocks of a network."""

from __future__ import annotations

import torch
from torch import nn

from trainer.model.decoder import Block, Decoder
from trainer.model.encoder_decoder import EncoderDecoder, StackBlock
from trainer.model.lora import add_adapters
from trainer.model.model_settings import ModelSettings
from trainer.model.policy_and_value import PolicyAndValue


def build_model(settings: ModelSettings) -> Decoder | EncoderDecoder:
    """A decoder or an encoder-decoder on the meta device: without memory for its weights."""
    with torch.device("meta"):
        model = EncoderDecoder(settings) if settings.encoder_layers else Decoder(settings)
        if settings.lora is not None:
            add_adapters(model, settings.lora)
        if settings.scalar_head:  # trained also where all other weights are frozen
            model.head_weight.requires_grad_(True)
        return model


def build_policy_and_value(settings: ModelSettings, value: ModelSettings) -> PolicyAndValue:
    """A policy with a value model beside it, on the meta device."""
    with torch.device("meta"):
        return PolicyAndValue(settings, build_model(value))


def recompute_activations(model: nn.Module) -> None:
    """Let all networks within compute the activations of their blocks again in the backward pass, to keep less."""
    for module in model.modules():
        if isinstance(module, (Decoder, EncoderDecoder)):
            module.activation_checkpointing = True


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of all stacks, also of networks within the model; they are sharded and compiled one by one."""
    return [module for module in model.modules() if isinstance(module, (Block, StackBlock))]
