"""A checkpoint as a Hugging Face folder: Llama's layout for dense models, Mixtral's for sparse ones, safetensors only.

Our rotary pairs and router already follow those models, so tensors are split and renamed, never changed. Mixtral's
blocks are all sparse: a dense block among them is written as identical experts, whose gates add up to 1 whatever the
router says (larger on disk, equal in its answers).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from trainer.model.decoder import ModelSettings
from trainer.model.rotary import RopeSettings, Scaling
from trainer.training import checkpoint

FILE_BYTES = 4 << 30  # of one safetensors file; more go into numbered files with an index


class Number(StrEnum):
    """Type of the exported weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def export(
    source: Path,
    out: Path,
    *,
    tokenizer: Path | None = None,
    separator: int | None = None,
    number: Number = Number.FLOAT32,
) -> Path:
    """Write a run's or a checkpoint's model to `out` for `AutoModelForCausalLM.from_pretrained`; the folder.

    tokenizer: a tokenizer.json to put beside it. separator: the id that begins (and so ends) a document.
    """
    found = checkpoint.find(source)
    checkpoint.verify(found)
    settings = ModelSettings.model_validate(checkpoint.read_state(found).settings["model"])
    _refuse_what_has_no_layout(settings)
    out.mkdir(parents=True, exist_ok=True)
    dtype = getattr(torch, number.value)
    tensors = hugging_face_tensors(checkpoint.read_tensors(found, "model"), settings)
    _write(out, ((name, tensor.to(dtype).contiguous()) for name, tensor in tensors))
    config = hugging_face_config(settings, number, separator)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    ends = {"bos_token_id": separator, "eos_token_id": separator}
    (out / "generation_config.json").write_text(
        json.dumps(ends if separator is not None else {}, indent=2) + "\n", "utf-8"
    )
    if tokenizer is not None:
        _write_tokenizer(tokenizer, out, separator, settings.context_length)
    return out


def _refuse_what_has_no_layout(settings: ModelSettings) -> None:
    if settings.encoder_layers:
        raise ValueError("an encoder-decoder has neither Llama's nor Mixtral's layout; only decoders can be exported")
    if settings.experts is not None and not settings.experts.normalized:
        raise ValueError(
            "Mixtral's gates add up to 1 and this model's do not (model.experts.normalize_gates, or top_k = 1): "
            "there is no Hugging Face layout that gives its answers"
        )


def hugging_face_config(settings: ModelSettings, number: Number, separator: int | None = None) -> dict[str, Any]:
    """config.json."""
    sparse = settings.experts is not None
    config: dict[str, Any] = {
        "architectures": ["MixtralForCausalLM" if sparse else "LlamaForCausalLM"],
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
        "tie_word_embeddings": settings.tie_embeddings,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": settings.init_std,
        "bos_token_id": separator,
        "eos_token_id": separator,
        "torch_dtype": number.value,
    }
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
        case Scaling.NONE:
            return None
        case Scaling.LINEAR:
            return common
        case Scaling.LLAMA3:
            turns = {"low_freq_factor": settings.low_freq_factor, "high_freq_factor": settings.high_freq_factor}
        case Scaling.YARN:
            turns = {"beta_slow": settings.low_freq_factor, "beta_fast": settings.high_freq_factor}
    return {**common, **turns, "original_max_position_embeddings": settings.original_context_length}


def hugging_face_tensors(
    tensors: Iterable[tuple[str, Tensor]], settings: ModelSettings
) -> Iterator[tuple[str, Tensor]]:
    """Our tensors by Hugging Face's names, fused projections split."""
    for name, tensor in tensors:
        match name.split("."):
            case ["embedding", "weight"]:
                yield "model.embed_tokens.weight", tensor
            case ["head", "weight"]:
                yield "lm_head.weight", tensor
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
        case ["attention", "qkv", "weight"]:
            sizes = [settings.heads * settings.dim_per_head, *[settings.num_kv_heads * settings.dim_per_head] * 2]
            for letter, part in zip("qkv", torch.split(tensor, sizes), strict=True):
                yield f"self_attn.{letter}_proj.weight", part
        case ["attention", "out", "weight"]:
            yield "self_attn.o_proj.weight", tensor
        case ["feed_forward", "router", "weight"]:
            yield "block_sparse_moe.gate.weight", tensor
        case ["feed_forward", *rest]:
            yield from _feed_forward_tensors(rest[0], tensor, settings)
        case _:
            raise ValueError(f"{'.'.join(name)} has no place in Hugging Face's layout")


def _feed_forward_tensors(name: str, tensor: Tensor, settings: ModelSettings) -> Iterator[tuple[str, Tensor]]:
    """gate_up and down of a dense block [2F, W], [W, F], or of experts [E, W, 2F], [E, F, W]."""
    if settings.experts is None:
        parts = (
            zip(("gate_proj", "up_proj"), tensor.chunk(2), strict=True)
            if name == "gate_up"
            else [("down_proj", tensor)]
        )
        for inner, part in parts:
            yield f"mlp.{inner}.weight", part
        return
    experts = settings.experts.num_experts
    each = [tensor.clone() for _ in range(experts)] if tensor.ndim == 2 else [matrix.T for matrix in tensor]
    for number, matrix in enumerate(each):
        parts = zip(("w1", "w3"), matrix.chunk(2), strict=True) if name == "gate_up" else [("w2", matrix)]
        for inner, part in parts:
            yield f"block_sparse_moe.experts.{number}.{inner}.weight", part
    if tensor.ndim == 2 and name == "down":  # a dense block: any router will do
        yield "block_sparse_moe.gate.weight", tensor.new_zeros(experts, settings.hidden_size)


def _write(out: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """model.safetensors, or numbered files with model.safetensors.index.json."""
    for old in out.glob("model*.safetensors*"):
        old.unlink()
    files: list[list[str]] = []
    held: dict[str, Tensor] = {}
    total = 0

    def flush() -> None:
        files.append(list(held))
        safetensors.torch.save_file(held, out / f"part-{len(files)}.tmp", {"format": "pt"})
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
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    for number, name in enumerate(names, 1):
        (out / f"part-{number}.tmp").rename(out / name)


def _write_tokenizer(tokenizer: Path, out: Path, separator: int | None, context: int) -> None:
    """tokenizer.json as it is, and the few facts that transformers wants beside it."""
    path = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    shutil.copyfile(path, out / "tokenizer.json")
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    added = json.loads(path.read_text("utf-8")).get("added_tokens", [])
    for token in added:
        if token["id"] == separator:
            config |= {"bos_token": token["content"], "eos_token": token["content"], "pad_token": token["content"]}
    config["clean_up_tokenization_spaces"] = False
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
