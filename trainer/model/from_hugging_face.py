"""Read a model in Hugging Face's layout, Llama's or Mixtral's: settings from config.json, weights from safetensors.

The inverse of `hugging_face.py`: tensors are joined and renamed, their values kept. What the network here does not
compute (biases, sliding windows, other activations or kinds of scaling) is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors
import torch
from pydantic import ValidationError
from torch import Tensor

from trainer.errors import UserError
from trainer.model.build import build_model
from trainer.model.hugging_face import EXPERT_NAMES
from trainer.model.model_settings import ModelSettings
from trainer.settings import explain_refusal

MODEL_TYPES = ("llama", "mixtral")


class ImportModelError(UserError):
    """A folder that holds no model of a known layout: which file, and why."""


def read_settings(folder: Path) -> ModelSettings:
    """The settings of the network that config.json describes."""
    config = read_json(folder / "config.json")
    _check_supported(config, folder)
    try:
        values: dict[str, Any] = {
            "vocab_size": config["vocab_size"],
            "vocab_multiple": 1,  # the embedding keeps its rows
            "hidden_size": config["hidden_size"],
            "layers": config["num_hidden_layers"],
            "heads": config["num_attention_heads"],
            "kv_heads": config.get("num_key_value_heads"),
            "head_dim": config.get("head_dim"),
            "ffn_hidden_size": config["intermediate_size"],
            "context_length": config["max_position_embeddings"],
            "tie_embeddings": config.get("tie_word_embeddings", False),
            "norm_eps": config["rms_norm_eps"],
            "init_std": config.get("initializer_range", 0.02),
            "rope": _read_rope(config, folder),
        }
        if config["model_type"] == "mixtral":
            values["experts"] = {
                "num_experts": config["num_local_experts"],
                "top_k": config["num_experts_per_tok"],
                "every": 1,
                "capacity_factor": None,
                "router_aux_loss_coef": config.get("router_aux_loss_coef", 0.001),
                "normalize_gates": True,
            }
        return ModelSettings.model_validate(values)
    except KeyError as error:
        raise ImportModelError(f"{folder}/config.json: has no {error}; is it a model of Hugging Face?") from error
    except ValidationError as error:
        raise ImportModelError(f"{folder}/config.json: {explain_refusal(ModelSettings, error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file that must hold one JSON object."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ImportModelError(f"{path}: cannot be read ({error.strerror}); name a folder of Hugging Face") from error
    except ValueError as error:
        raise ImportModelError(f"{path}: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise ImportModelError(f"{path}: not a JSON object")
    return values


def _check_supported(config: dict[str, Any], folder: Path) -> None:
    expected = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "sliding_window": None}
    if config.get("model_type") not in MODEL_TYPES:
        raise ImportModelError(
            f"{folder}/config.json: model_type {config.get('model_type')!r}; only {' and '.join(MODEL_TYPES)} are read"
        )
    for name, value in expected.items():
        if config.get(name, value) != value:
            raise ImportModelError(f"{folder}/config.json: {name} = {config[name]!r} is not supported, only {value!r}")


def _read_rope(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Rotary positions, as transformers 4 (rope_theta, rope_scaling) or 5 (rope_parameters) writes them."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = found.get("rope_theta") or config.get("rope_theta") or 10_000.0
    kind = found.get("rope_type") or found.get("type") or "default"
    values: dict[str, Any] = {"theta": theta}
    if kind == "default":
        return values
    values |= {"scaling": kind, "factor": found["factor"]}
    if kind in ("llama3", "yarn"):
        values["original_context_length"] = found["original_max_position_embeddings"]
    if kind == "llama3":
        values |= {name: found[name] for name in ("low_freq_factor", "high_freq_factor")}
    if kind == "yarn":
        values |= {"low_freq_factor": found.get("beta_slow") or 1, "high_freq_factor": found.get("beta_fast") or 32}
    unknown = [name for name in ("attention_factor", "mscale", "mscale_all_dim") if found.get(name) is not None]
    if kind not in ("linear", "llama3", "yarn") or unknown:
        what = f"rope_type {kind!r}" if not unknown else f"{unknown[0]} of rope_type {kind!r}"
        raise ImportModelError(f"{folder}/config.json: {what} is not supported")
    return values


def read_weights(folder: Path, settings: ModelSettings) -> Iterator[tuple[str, Tensor]]:
    """Every weight of the network by its name, fp32, one in memory at a time."""
    places = _find_tensors(folder)
    used: set[str] = set()

    def get(name: str) -> Tensor:
        if name not in places:
            raise ImportModelError(f"{folder}: holds no tensor {name}; its files are incomplete or of another layout")
        used.add(name)
        with safetensors.safe_open(places[name], framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor.float()

    for name, weight in build_model(settings).named_parameters():
        value = join_tensors(name, get, settings)
        if value.shape != weight.shape:
            raise ImportModelError(
                f"{folder}: {name} has the shape {tuple(value.shape)} and config.json asks for {tuple(weight.shape)}"
            )
        yield name, value
    tied = {"lm_head.weight"} if settings.tie_embeddings else set()
    unused = sorted(name for name in set(places) - used - tied if not name.endswith("rotary_emb.inv_freq"))
    if unused:
        raise ImportModelError(f"{folder}: holds {unused[0]}, which has no place in the network; is it another layout?")


def _find_tensors(folder: Path) -> dict[str, Path]:
    """The file of each tensor."""
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                places |= dict.fromkeys(file.keys(), path)
        except (OSError, safetensors.SafetensorError) as error:
            raise ImportModelError(f"{path}: not a safetensors file ({error}); copy it again") from error
    if not places:
        raise ImportModelError(f"{folder}: holds no .safetensors file; convert other formats with transformers")
    return places


def join_tensors(name: str, get: Callable[[str], Tensor], settings: ModelSettings) -> Tensor:
    """The weight of this name from Hugging Face's tensors, which `get` reads."""
    match name.split("."):
        case ["embedding", "weight"]:
            return get("model.embed_tokens.weight")
        case ["head", "weight"]:
            return get("lm_head.weight")
        case ["norm", "weight"]:
            return get("model.norm.weight")
        case ["blocks", number, *rest]:
            return _join_block_tensors(rest, lambda inner: get(f"model.layers.{number}.{inner}"), settings)
        case _:
            raise ValueError(f"{name} has no place in Hugging Face's layout")


def _join_block_tensors(name: list[str], get: Callable[[str], Tensor], settings: ModelSettings) -> Tensor:
    match name:
        case ["attention_norm", "weight"]:
            return get("input_layernorm.weight")
        case ["feed_forward_norm", "weight"]:
            return get("post_attention_layernorm.weight")
        case ["attention", ("q" | "k" | "v") as letter, "weight"]:
            return get(f"self_attn.{letter}_proj.weight")
        case ["attention", "out", "weight"]:
            return get("self_attn.o_proj.weight")
        case ["feed_forward", "router", "weight"]:
            return get("block_sparse_moe.gate.weight")
        case ["feed_forward", ("gate" | "up" | "down") as kind, "weight"]:
            return get(f"mlp.{kind}_proj.weight")
        case ["feed_forward", ("gate_up" | "down") as kind]:
            parts = EXPERT_NAMES[kind]
            numbers = range(settings.experts.num_experts if settings.experts else 0)
            experts = ([get(f"block_sparse_moe.experts.{n}.{part}.weight") for part in parts] for n in numbers)
            return torch.stack([torch.cat(tensors).T for tensors in experts])
        case _:
            raise ValueError(f"{'.'.join(name)} has no place in Hugging Face's layout")
