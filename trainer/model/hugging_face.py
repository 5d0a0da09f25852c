"""Export a model in Hugging Face's layout: Llama's for dense models, Mixtral's for sparse ones, safetensors only.

Rotary pairs and router follow those models, so tensors are split and renamed, their values kept. All of Mixtral's
blocks are sparse: a dense block is written as identical experts, whose gates add up to 1 for any router (larger on
disk, equal logits).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.errors import UserError
from trainer.files import save_tensors, write_atomically
from trainer.model.model_settings import ModelSettings
from trainer.model.rotary import RopeScaling, RopeSettings

# What an import keeps beside the tokenizer and an export of the same weights writes again: names of special tokens.
IMPORTED_FILES = ("tokenizer_config.json", "generation_config.json")
EXPERT_NAMES = {"gate": ["w1"], "up": ["w3"], "gate_up": ["w1", "w3"], "down": ["w2"]}  # Mixtral's
FILE_BYTES = 4 << 30  # of one safetensors file; more go into numbered files with an index


class ExportError(UserError):
    """A model that has no Hugging Face layout."""


class ExportType(StrEnum):
    """Type of the exported weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def export_to_hugging_face(
    settings: ModelSettings,
    weights: Iterable[tuple[str, Tensor]],
    out: Path,
    *,
    tokenizer: Path | None = None,
    separator: int | None = None,
    pad: int | None = None,
    dtype: ExportType = ExportType.FLOAT32,
) -> Path:
    """Write a model to `out` for `AutoModelForCausalLM.from_pretrained`; returns the folder.

    A model with a scalar head is one for `AutoModelForSequenceClassification`, whose only logit is the score.

    weights: fp32, by their names in the model. tokenizer: a tokenizer.json to copy beside them. separator: the id that
    begins a document, and so ends the one before. pad: the id that fills rows; another one than the separator, because
    Hugging Face's collators mask padding in the loss, and the end of a document would never be learned.
    """
    _check_exportable(settings)
    out.mkdir(parents=True, exist_ok=True)
    kind = getattr(torch, dtype.value)
    tensors = hugging_face_tensors(weights, settings)
    _write_tensors(out, ((name, tensor.to(kind).contiguous()) for name, tensor in tensors))
    _write_json(out / "config.json", hugging_face_config(settings, dtype, separator, pad))
    ids = {"bos_token_id": separator, "eos_token_id": separator, "pad_token_id": pad}
    _write_json(out / "generation_config.json", {name: index for name, index in ids.items() if index is not None})
    if tokenizer is not None:
        _write_tokenizer(tokenizer, out, separator, pad, settings.context_length)
    return out


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def _check_exportable(settings: ModelSettings) -> None:
    if settings.encoder_layers:
        raise ExportError("an encoder-decoder has neither Llama's nor Mixtral's layout; only decoders can be exported")
    if settings.retro is not None:
        raise ExportError("cross-attention to neighbors (model.retro) has no Hugging Face layout; use the run itself")
    if settings.experts is not None and not settings.experts.normalized:
        raise ExportError(
            "Mixtral's gates add up to 1 and this model's do not (model.experts.normalize_gates, or top_k = 1): "
            "no Hugging Face layout gives equal results"
        )


def hugging_face_config(
    settings: ModelSettings, dtype: ExportType, separator: int | None = None, pad: int | None = None
) -> dict[str, Any]:
    """config.json."""
    sparse, purpose = settings.experts is not None, "SequenceClassification" if settings.scalar_head else "CausalLM"
    config: dict[str, Any] = {
        "architectures": [f"{'Mixtral' if sparse else 'Llama'}For{purpose}"],
        "model_type": "mixtral" if sparse else "llama",
        "vocab_size": settings.padded_vocab_size,
        "hidden_size": settings.hidden_size,
        "intermediate_size": settings.intermediate_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.num_kv_heads,
        "head_dim": settings.dim_per_head,
        "max_position_embeddings": settings.context_length,
        "rms_norm_eps": settings.norm_eps,
        "rope_theta": settings.rope.theta,
        "rope_scaling": rope_scaling(settings.rope),
        "hidden_act": "silu",
        "tie_word_embeddings": settings.tie_embeddings and not settings.scalar_head,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": settings.init_std,
        "bos_token_id": separator,
        "eos_token_id": separator,
        "pad_token_id": pad,
        "torch_dtype": dtype.value,
    }
    if settings.scalar_head:
        config |= {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    if settings.experts is not None:
        config |= {
            "num_local_experts": settings.experts.num_experts,
            "num_experts_per_tok": settings.experts.top_k,
            "router_aux_loss_coef": settings.experts.router_aux_loss_coef,
            "sliding_window": None,
        }
    return config


def rope_scaling(settings: RopeSettings) -> dict[str, Any] | None:
    """The `rope_scaling` entry."""
    common = {"rope_type": settings.scaling.value, "factor": settings.factor}
    match settings.scaling:
        case RopeScaling.NONE:
            return None
        case RopeScaling.LINEAR:
            return common
        case RopeScaling.LLAMA3:
            turns = {"low_freq_factor": settings.low_freq_factor, "high_freq_factor": settings.high_freq_factor}
        case RopeScaling.YARN:
            turns = {"beta_slow": settings.low_freq_factor, "beta_fast": settings.high_freq_factor}
    return {**common, **turns, "original_max_position_embeddings": settings.original_context_length}


def hugging_face_tensors(
    tensors: Iterable[tuple[str, Tensor]], settings: ModelSettings
) -> Iterator[tuple[str, Tensor]]:
    """The tensors under Hugging Face's names, fused projections split."""
    for name, tensor in tensors:
        match name.split("."):
            case ["embedding", "weight"]:
                yield "model.embed_tokens.weight", tensor
            case ["head", "weight"]:
                yield "score.weight" if settings.scalar_head else "lm_head.weight", tensor
            case ["norm", "weight"]:
                yield "model.norm.weight", tensor
            case ["blocks", number, *rest]:
                for inner, part in _block_tensors(rest, tensor, settings):
                    yield f"model.layers.{number}.{inner}", part
            case _:
                raise ValueError(f"{name} has no place in Hugging Face's layout")


def _block_tensors(name: list[str], tensor: Tensor, settings: ModelSettings) -> Iterator[tuple[str, Tensor]]:
    match name:
        case ["attention_norm", "weight"]:
            yield "input_layernorm.weight", tensor
        case ["feed_forward_norm", "weight"]:
            yield "post_attention_layernorm.weight", tensor
        case ["attention", ("q" | "k" | "v") as letter, "weight"]:
            yield f"self_attn.{letter}_proj.weight", tensor
        case ["attention", "out", "weight"]:
            yield "self_attn.o_proj.weight", tensor
        case ["feed_forward", "router", "weight"]:
            yield "block_sparse_moe.gate.weight", tensor
        case ["feed_forward", *rest]:
            yield from _feed_forward_tensors(rest[0], tensor, settings)
        case _:
            raise ValueError(f"{'.'.join(name)} has no place in Hugging Face's layout")


def _feed_forward_tensors(name: str, tensor: Tensor, settings: ModelSettings) -> Iterator[tuple[str, Tensor]]:
    """gate, up [F, W] and down [W, F] of a dense block, or gate_up [E, W, 2F] and down [E, F, W] of experts."""
    if settings.experts is None:
        yield f"mlp.{name}_proj.weight", tensor
        return
    experts = settings.experts.num_experts
    each = [tensor.clone() for _ in range(experts)] if tensor.ndim == 2 else [matrix.T for matrix in tensor]
    for number, matrix in enumerate(each):
        matrices = matrix.chunk(2) if name == "gate_up" else [matrix]
        for inner, part in zip(EXPERT_NAMES[name], matrices, strict=True):
            yield f"block_sparse_moe.experts.{number}.{inner}.weight", part
    if tensor.ndim == 2 and name == "down":  # a dense block: identical experts, so the router has no effect
        yield "block_sparse_moe.gate.weight", tensor.new_zeros(experts, settings.hidden_size)


def _write_tensors(out: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """model.safetensors, or numbered files with model.safetensors.index.json."""
    for old in out.glob("model*.safetensors*"):
        old.unlink()
    files: list[list[str]] = []
    held: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        files.append(list(held))
        save_tensors(held, out / f"part-{len(files)}.tmp", {"format": "pt"})
        held.clear()

    for name, tensor in tensors:
        if held and sum(value.nbytes for value in held.values()) + tensor.nbytes > FILE_BYTES:
            flush()
        held[name] = tensor
        total += tensor.nbytes
    flush()
    names = [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    if len(files) == 1:
        names = ["model.safetensors"]
    else:
        places = {tensor: name for name, inside in zip(names, files, strict=True) for tensor in inside}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        write_atomically(out / "model.safetensors.index.json", json.dumps(index, indent=1) + "\n")
    for number, name in enumerate(names, 1):
        (out / f"part-{number}.tmp").rename(out / name)


def _write_tokenizer(tokenizer: Path, out: Path, separator: int | None, pad: int | None, context: int) -> None:
    """Copy tokenizer.json, and write tokenizer_config.json, which transformers needs beside it."""
    path = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    shutil.copyfile(path, out / "tokenizer.json")
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    added = json.loads(path.read_text("utf-8")).get("added_tokens", [])
    for token in added:
        if token["id"] == separator:
            config |= {"bos_token": token["content"], "eos_token": token["content"]}
        if token["id"] == pad:
            config["pad_token"] = token["content"]
    config["clean_up_tokenization_spaces"] = False
    _write_json(out / "tokenizer_config.json", config)
