"""A decoder with a value model beside it: two networks that are trained in one step and stored in one checkpoint."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from trainer.model.decoder import Decoder, ModelOutput
from trainer.model.lora import add_adapters
from trainer.model.model_settings import ModelSettings

VALUE_PREFIX = "value_model."


class PolicyAndValue(Decoder):
    """The policy, whose weights have the names that they have alone, and `value_model`, which has a scalar head.

    Each has the adapters that its own settings name.
    """

    def __init__(self, settings: ModelSettings, value_model: nn.Module) -> None:
        super().__init__(settings)
        if settings.lora is not None:
            add_adapters(self, settings.lora)
        self.value_model = value_model

    def forward(self, tokens: Tensor, *arguments: Any, log_probs: bool = False, **options: Any) -> ModelOutput:
        """As the decoder's; with `log_probs` also the values of every token."""
        output = super().forward(tokens, *arguments, log_probs=log_probs, **options)
        if not log_probs:
            return output
        places = {name: options.get(name) for name in ("positions", "document_ids", "branches")}
        return output._replace(values=self.value_model(tokens, **places).values)
