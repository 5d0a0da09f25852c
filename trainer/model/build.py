"""The network that the settings describe."""

from __future__ import annotations

import torch

from trainer.model.decoder import Decoder
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.lora import add_adapters
from trainer.model.model_settings import ModelSettings


def build_model(settings: ModelSettings) -> Decoder | EncoderDecoder:
    """A decoder or an encoder-decoder on the meta device: without memory for its weights."""
    with torch.device("meta"):
        model = EncoderDecoder(settings) if settings.encoder_layers else Decoder(settings)
        if settings.lora is not None:
            add_adapters(model, settings.lora)
        if settings.scalar_head:  # trained also where all other weights are frozen
            model.head_weight.requires_grad_(True)
        return model
