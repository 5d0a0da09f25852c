"""SFT, DPO and KTO: TRL's trainers compute the same losses with the same weights on the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from tests.trainer.model.small_models import TINY
from tests.trainer.runs import build_decoder
from trainer.chat.chat_batches import fill_rows
from trainer.chat.chat_template import Encoded, EncodedPair
from trainer.chat.pair_batches import PairBatches, PairSettings
from trainer.model.decoder import Decoder
from trainer.model.hugging_face import export_to_hugging_face
from trainer.tasks.preference import PreferenceSettings, PreferenceTask

MODEL = TINY.model_copy(update={"init_std": 0.3})  # log-probabilities far from uniform
POLICY, REFERENCE = 1, 2  # seeds
EXACT = {"rel": 5e-6}


class Start:
    """The reference's weights."""

    digest = "reference"

    def fill(self, model: torch.nn.Module) -> None:
        model.load_state_dict(build_decoder(MODEL, REFERENCE).state_dict())


def text(generator: np.random.Generator, prompt: Sequence[int]) -> Encoded:
    answer = generator.integers(3, 100, generator.integers(2, 12)).tolist()
    return Encoded(np.array([*prompt, *answer], np.int32), np.arange(len(prompt) + len(answer)) >= len(prompt))


def make_pairs(count: int = 5) -> list[EncodedPair]:
    generator = np.random.default_rng(0)
    prompts = [generator.integers(3, 100, generator.integers(2, 9)).tolist() for _ in range(count)]
    return [EncodedPair(text(generator, prompt), text(generator, prompt), 0.0, False) for prompt in prompts]


def padded(texts: Sequence[Encoded], prefix: str = "") -> dict[str, torch.Tensor]:
    """The rows as TRL's collators make them."""
    rows = {"input_ids": [], "attention_mask": [], "completion_mask": []}  # type: ignore[var-annotated]
    longest = max(len(item.tokens) for item in texts)
    for item in texts:
        room = [0] * (longest - len(item.tokens))
        rows["input_ids"].append([*item.tokens.tolist(), *room])
        rows["attention_mask"].append([*[1] * len(item.tokens), *room])
        rows["completion_mask"].append([*item.learned.astype(int).tolist(), *room])
    return {prefix + name: torch.tensor(values) for name, values in rows.items()}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What every trainer of TRL gets: a tokenizer, which is not asked, and models of our weights."""
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "a": 2}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    folder = tmp_path_factory.mktemp("trl")

    def load(seed: int) -> Any:
        weights = build_decoder(MODEL, seed).named_parameters()
        path = export_to_hugging_face(MODEL, ((name, w.detach()) for name, w in weights), folder / str(seed))
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)

    def build(trainer: Any, config: Any, rows: list[dict[str, Any]], reference: bool = True, **settings: Any) -> Any:
        arguments = config(str(folder / "out"), report_to="none", use_cpu=True, bf16=False, **settings)
        models_ = {"ref_model": load(REFERENCE)} if reference else {}
        data = Dataset.from_list(rows)
        return trainer(load(POLICY), args=arguments, train_dataset=data, processing_class=tokenizer, **models_)

    return build


def ours(kind: str, pairs: list[EncodedPair], **changes: Any) -> float:
    """The mean loss of the pairs."""
    settings = PreferenceSettings.model_validate({"model": MODEL, "preference": {"kind": kind, **changes}})
    batches = PairBatches(tuple(pairs), PairSettings(), mismatched=kind == "kto")
    start: Any = Start()
    task = PreferenceTask(settings, start, batches)
    part = batches.fill([[number] for number in range(len(pairs))])
    loss, _ = task.summed_loss(build_decoder(MODEL, POLICY), part)
    return float(loss.detach()) / len(pairs)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_dpo(theirs, beta):
    pairs = make_pairs()
    trainer = theirs(DPOTrainer, DPOConfig, [{"prompt": "a", "chosen": "a", "rejected": "a a"}], beta=beta)
    rows = padded([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    expected = float(trainer.compute_loss(trainer.model, rows).detach())
    assert ours("dpo", pairs, beta=beta) == pytest.approx(expected, **EXACT)
    assert abs(expected - np.log(2)) > 0.03  # the policy is not the reference


def test_kto(theirs):
    pairs = make_pairs()
    weights = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    rows = [{"prompt": "a", "completion": "a", "label": True}, {"prompt": "a", "completion": "a a", "label": False}]
    trainer = theirs(KTOTrainer, KTOConfig, rows, beta=0.2, per_device_train_batch_size=2, **weights)
    given = padded([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    others = [*pairs[1:], pairs[0]]  # the answers of other prompts
    mismatched = [_join(pair.chosen, other.chosen) for pair, other in zip(pairs, others, strict=True)]
    labels = {"label": torch.tensor([True] * len(pairs) + [False] * len(pairs))}
    expected = float(trainer.compute_loss(trainer.model, given | padded(mismatched, "KL_") | labels).detach())
    assert ours("kto", pairs, beta=0.2, **weights) == pytest.approx(expected, **EXACT)


def _join(text: Encoded, other: Encoded) -> Encoded:
    tokens = np.concatenate([text.tokens[~text.learned], other.tokens[other.learned]])
    return Encoded(tokens, np.arange(len(tokens)) >= (~text.learned).sum())


def test_sft(theirs, tmp_path: Path):
    texts = [pair.chosen for pair in make_pairs()]
    trainer = theirs(SFTTrainer, SFTConfig, [{"text": "a a a"}], reference=False)
    rows = padded(texts)
    labels = rows["input_ids"].masked_fill(rows.pop("completion_mask") == 0, -100)
    expected = float(trainer.compute_loss(trainer.model, rows | {"labels": labels}).detach())
    for packed in ([[item] for item in texts], [texts[:2], texts[2:]]):  # padded rows, and several texts in a row
        assert _sft_loss(build_decoder(MODEL, POLICY), packed) == pytest.approx(expected, **EXACT)


def _sft_loss(model: Decoder, rows: Sequence[Sequence[Encoded]]) -> float:
    inputs = fill_rows(rows)
    loss = model(**inputs).loss
    assert loss is not None
    return float(loss.detach()) / float(inputs["weights"].sum())
