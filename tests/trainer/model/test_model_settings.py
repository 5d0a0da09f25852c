"""settings: shapes that cannot be built are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainer.model.experts import ExpertSettings
from trainer.model.model_settings import ModelSettings
from trainer.model.rotary import RopeSettings


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"hidden_size": 30, "heads": 4}, "not a multiple of model.heads"),
        ({"heads": 4, "kv_heads": 3}, "not a multiple of model.kv_heads"),
        ({"hidden_size": 12, "heads": 4}, "pairs"),
        ({"experts": ExpertSettings(num_experts=2, top_k=3)}, "top_k"),
        ({"layers": 2, "experts": ExpertSettings(every=3)}, "no sparse block"),
        ({"encoder_layers": 2, "kv_heads": 2}, "encoder-decoder"),
        ({"encoder_layers": 2, "rope": RopeSettings(theta=5e5)}, "encoder-decoder"),
        ({"widht": 32}, "widht"),
    ],
)
def test_impossible_shapes_are_refused(values, fault):
    with pytest.raises(ValidationError, match=fault):
        ModelSettings(**{"hidden_size": 32, "heads": 4, **values})
