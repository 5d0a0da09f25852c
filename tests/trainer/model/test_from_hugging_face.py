"""from_hugging_face: transformers' own models give equal logits here; exported and imported again, equal bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from tests.trainer import runs
from trainer.model.build import build_model
from trainer.model.from_hugging_face import ImportModelError, read_settings, read_weights
from trainer.model.hugging_face import ExportType, export_to_hugging_face
from trainer.training.saved_model import read_saved_model

SHAPE: dict[str, Any] = {
    "vocab_size": 101,  # no multiple of 64
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10_000.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
    "rope_theta": 500_000.0,
}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True)),
    "wide_heads": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, head_dim=16, rms_norm_eps=1e-3)),
    "llama3": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, rope_parameters=LLAMA3)),
    "yarn": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, rope_parameters=YARN)),
    "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**SHAPE, num_local_experts=4, sliding_window=None)),
}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_of_transformers_give_their_logits_and_come_back_bitwise(tmp_path: Path, name: str, dtype: Any) -> None:
    torch.manual_seed(0)
    MODELS[name]().to(dtype).save_pretrained(tmp_path / "theirs")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "theirs", dtype=torch.float32).eval()
    settings = read_settings(tmp_path / "theirs")
    own = build_model(settings).to_empty(device="cpu").eval()
    own.load_state_dict(dict(read_weights(tmp_path / "theirs", settings)))
    tokens = torch.randint(0, 101, (2, 50))
    with torch.no_grad():
        expected = theirs(tokens).logits
        torch.testing.assert_close(own(tokens).logits, expected, rtol=1e-4, atol=1e-4)
    kind = ExportType.FLOAT32 if dtype is torch.float32 else ExportType.BFLOAT16
    export_to_hugging_face(settings, read_weights(tmp_path / "theirs", settings), tmp_path / "again", dtype=kind)
    first, second = tensors(tmp_path / "theirs"), tensors(tmp_path / "again")
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
        assert value.dtype == second[key].dtype
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again", dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "model", [{}, {"tie_embeddings": False}, {"experts": {"num_experts": 4, "every": 1}}, {"rope": {"theta": 5e5}}]
)
def test_an_exported_model_is_imported_bitwise(tmp_path: Path, model: dict[str, Any], monkeypatch: Any) -> None:
    runs.run(tmp_path / "run", {"model": model, "loop": {"steps": 2}})
    monkeypatch.setattr("trainer.model.hugging_face.FILE_BYTES", 20_000)  # tensors of a weight in several files
    folder = export_to_hugging_face(*read_saved_model(tmp_path / "run"), tmp_path / "hf")
    saved = read_saved_model(tmp_path / "run")
    expected, settings = dict(saved.weights), read_settings(folder)
    found = dict(read_weights(folder, settings))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    same = ("hidden_size", "layers", "heads", "num_kv_heads", "intermediate_size", "tie_embeddings", "rope", "norm_eps")
    assert [getattr(settings, name) for name in same] == [getattr(saved.settings, name) for name in same]


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2'; only llama and mixtral are read"),
        ({"attention_bias": True}, "attention_bias = True is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported, only 'silu'"),
        ({"sliding_window": 4096}, "sliding_window = 4096 is not supported"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic' is not supported"),
        ({"rope_parameters": {**YARN, "attention_factor": 2.0}}, "attention_factor of rope_type 'yarn'"),
        ({"num_attention_heads": 5}, "not a multiple of model.kv_heads"),
        ({"intermediate_size": 48}, r"gate.weight has the shape \(40, 32\) and config.json asks for \(48, 32\)"),
        ({"num_hidden_layers": 3}, r"holds no tensor model\.layers\.2\."),
        ({"num_hidden_layers": 1}, r"holds model\.layers\.1\..*, which has no place"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_one_line(tmp_path: Path, values: dict[str, Any], fault: str) -> None:
    MODELS["llama"]().save_pretrained(tmp_path)
    change_config(tmp_path, **values)
    with pytest.raises(ImportModelError, match=fault) as caught:
        dict(read_weights(tmp_path, read_settings(tmp_path)))
    assert "\n" not in str(caught.value)


def test_damaged_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImportModelError, match=r"config.json: cannot be read"):
        read_settings(tmp_path)
    for text, fault in (("{", "not JSON"), ("[]", "not a JSON object"), ('{"model_type": "llama"}', "has no")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ImportModelError, match=fault):
            read_settings(tmp_path)
    MODELS["llama"]().save_pretrained(tmp_path)
    settings = read_settings(tmp_path)
    save_file({"model.extra.weight": torch.ones(2)}, tmp_path / "extra.safetensors")
    with pytest.raises(ImportModelError, match=r"holds model\.extra\.weight"):
        dict(read_weights(tmp_path, settings))
    (tmp_path / "extra.safetensors").write_bytes(b"half")
    with pytest.raises(ImportModelError, match="not a safetensors file"):
        dict(read_weights(tmp_path, settings))
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ImportModelError, match=r"holds no \.safetensors file"):
        dict(read_weights(tmp_path, settings))
