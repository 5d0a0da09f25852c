"""Import a Hugging Face folder as a run at step 0: to continue it, or to evaluate, generate and export."""

from __future__ import annotations

from pathlib import Path

import torch

from trainer.data.tokenizer import TOKENIZER_FILE, Tokenizer, load_tokenizer
from trainer.model.build import build_model
from trainer.model.from_hugging_face import ImportModelError, read_json, read_settings, read_weights
from trainer.model.hugging_face import IMPORTED_FILES
from trainer.model.weights import fill_weight
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.checkpoint import RunState
from trainer.training.checkpoint_writer import CheckpointWriter
from trainer.training.distributed import World
from trainer.training.optimizer import build_optimizer


def import_hugging_face(folder: Path, out: Path) -> Path:
    """Write the model and tokenizer of a folder as the checkpoint of a run; returns the checkpoint."""
    model_settings = read_settings(folder)
    tokenizer = _open_tokenizer(folder)
    if tokenizer.vocab_size > model_settings.vocab_size:
        raise ImportModelError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} ids and the embedding {model_settings.vocab_size:,}"
        )
    settings = PretrainSettings(model=model_settings, tokenizer=folder.absolute() / TOKENIZER_FILE)
    model = build_model(model_settings).to_empty(device="cpu")
    weights = dict(model.named_parameters())
    for name, value in read_weights(folder, model_settings):
        fill_weight(weights[name], value)
    state = RunState(
        step=0,
        tokens=0,
        learning_rate=0.0,
        data={"fingerprint": ""},
        settings=settings.model_dump(mode="json"),
        precision="float32",
        world=1,
        torch=torch.__version__,
    )
    texts = {name: (folder / name).read_text("utf-8") for name in IMPORTED_FILES if (folder / name).is_file()}
    texts[TOKENIZER_FILE] = tokenizer.json
    optimizer = build_optimizer(model, settings.optimizer)  # without moments: an optimizer that has not stepped
    alone = World(0, 1, torch.device("cpu"))
    with CheckpointWriter(out / "checkpoints", settings.checkpoints, alone) as writer:
        return writer.save(state, model, optimizer, texts)


def _open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer, its separator the token that begins a text in Hugging Face's configuration."""
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    begin = config.get("bos_token") or config.get("eos_token")
    begin = begin.get("content") if isinstance(begin, dict) else begin
    return load_tokenizer(folder / TOKENIZER_FILE, begin)
