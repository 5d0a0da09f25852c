"""Adapters (LoRA) as a folder that the PEFT library loads: adapter_config.json and adapter_model.safetensors.

They stand beside an exported base model, whose names of matrices they use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

from trainer.files import save_tensors, write_atomically
from trainer.model.hugging_face import ExportError, hugging_face_tensors
from trainer.model.lora import LoraSettings, is_adapter
from trainer.model.model_settings import ModelSettings

TARGETS = {
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "out": "o_proj",
    "gate": "gate_proj",
    "up": "up_proj",
    "down": "down_proj",
}
PARTS = {"lora_a": "lora_A", "lora_b": "lora_B"}


def write_adapters(settings: ModelSettings, weights: Iterable[tuple[str, Tensor]], out: Path, base: str) -> Path:
    """Write the adapters among `weights` for `PeftModel.from_pretrained`; returns the folder.

    base: folder or name of the model that they belong to, as adapter_config.json states it.
    """
    if settings.lora is None:
        raise ExportError("this run has no adapters (it was trained without --lora); leave out --adapters")
    tensors = dict(peft_tensors(weights, settings))
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(tensors, out / "adapter_model.safetensors", {"format": "pt"})
    write_atomically(
        out / "adapter_config.json", json.dumps(peft_config(settings, settings.lora, base), indent=2) + "\n"
    )
    return out


def peft_config(settings: ModelSettings, lora: LoraSettings, base: str) -> dict[str, object]:
    """adapter_config.json; what it leaves out has PEFT's default."""
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if settings.scalar_head else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": [TARGETS[name] for name in lora.targets],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def peft_tensors(tensors: Iterable[tuple[str, Tensor]], settings: ModelSettings) -> Iterator[tuple[str, Tensor]]:
    """A [rank, in] and B [out, rank] of every adapter under PEFT's names, and a scalar head, which is trained too."""
    for name, tensor in tensors:
        if settings.scalar_head and name == "head.weight":
            yield "base_model.model.score.weight", tensor.contiguous()
        if not is_adapter(name):
            continue
        module, _, part = name.rpartition(".")
        if settings.experts is not None and ".feed_forward." in module:
            raise ExportError(
                "Mixtral's layout has no dense blocks for these adapters; export them merged (without --adapters), or "
                "train with model.lora.targets = q,k,v,out"
            )
        ((there, _),) = hugging_face_tensors([(f"{module}.weight", tensor)], settings)
        yield f"base_model.model.{there.removesuffix('weight')}{PARTS[part]}.weight", tensor.contiguous()
