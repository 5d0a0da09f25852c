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
from trainer.chat.chat_template import Encoded, EncodedAnswer, EncodedPair
from trainer.chat.pair_batches import PairBatches, PairSettings
from trainer.chat.rated_batches import RatedBatches
from trainer.model.decoder import Decoder
from trainer.model.hugging_face import export_to_hugging_face
from trainer.tasks.kto import KtoTask
from trainer.tasks.preference import PreferenceSettings, PreferenceTask
from trainer.training.distributed import World
from trainer.training.step import Replica

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


def ours(kind: str, data: Sequence[Any], **changes: Any) -> tuple[float, float]:
    """The loss of a step that reads all pairs or rated answers, and the norm of its gradient."""
    settings = PreferenceSettings.model_validate({"model": MODEL, "preference": {"kind": kind, **changes}})
    start: Any = Start()
    pairs, world = PairSettings(batch_size=len(data)), World(0, 1, torch.device("cpu"))
    task: PreferenceTask | KtoTask
    if kind == "dpo":
        task = PreferenceTask(settings, start, PairBatches(tuple(data), pairs))
    else:
        task = KtoTask(settings, start, RatedBatches(tuple(data), pairs))
    model = build_decoder(MODEL, POLICY)
    return task.add_gradient(task.prepare(0, world), Replica(model, world, bf16=False)).loss, gradient_norm(model)


def learn(trainer: Any, rows: dict[str, torch.Tensor]) -> tuple[float, float]:
    """TRL's loss of some rows, and the norm of its gradient."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, rows)
    loss.backward()
    return float(loss.detach()), gradient_norm(trainer.model)


def gradient_norm(model: torch.nn.Module) -> float:
    return float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_dpo(theirs, beta):
    pairs = make_pairs()
    trainer = theirs(DPOTrainer, DPOConfig, [{"prompt": "a", "chosen": "a", "rejected": "a a"}], beta=beta)
    rows = padded([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    expected = learn(trainer, rows)
    assert ours("dpo", pairs, beta=beta) == pytest.approx(expected, **EXACT)
    assert abs(expected[0] - np.log(2)) > 0.03  # the policy is not the reference


def test_kto(theirs):
    answers = make_answers()
    weights = {"desirable_weight": 1.5, "undesirable_weight": 0.5}
    rows = [{"prompt": "a", "completion": "a", "label": True}, {"prompt": "a", "completion": "a a", "label": False}]
    trainer = theirs(KTOTrainer, KTOConfig, rows, beta=0.2, per_device_train_batch_size=2, **weights)
    read = RatedBatches(answers, PairSettings(batch_size=len(answers))).rows(0)
    items = [answers[number] for row in read for number in row]  # in the order of the step
    given = padded([item.text for item in items])
    others = [*items[1:], items[0]]  # each to another prompt
    mismatched = [_join(item.text, other.text) for item, other in zip(items, others, strict=True)]
    labels = {"label": torch.tensor([item.desirable for item in items])}
    expected = learn(trainer, given | padded(mismatched, "KL_") | labels)
    assert ours("kto", answers, beta=0.2, **weights) == pytest.approx(expected, **EXACT)
    with_itself = padded([item.text for item in items], "KL_")
    assert abs(learn(trainer, given | with_itself | labels)[0] - expected[0]) > 1e-3  # the drift counts


def make_answers() -> tuple[EncodedAnswer, ...]:
    """Answers to one prompt each, three good ones and six bad ones."""
    texts = [pair.chosen for pair in make_pairs(9)]
    return tuple(EncodedAnswer(text, desirable=number % 3 == 0) for number, text in enumerate(texts))


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
