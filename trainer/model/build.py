"""The network that the settings describe."""

from __future__ import annotations

import torch

from trainer.model.decoder import Decoder
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.model_settings import ModelSettings


def build_model(settings: ModelSettings) -> Decoder | EncoderDecoder:
    """A decoder or an encoder-decoder on the meta device: without memory for its weights."""
    with torch.device("meta"):
        return EncoderDecoder(settings) if settings.encoder_layers else Decoder(settings)
