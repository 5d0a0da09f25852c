"""Equality with lm-evaluation-harness: both programs score one random model on the same local files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from runpy import run_path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer as Engine
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.trainer.curated import pages
from tests.trainer.evaluation.test_likelihood import splits_inside_words
from trainer.data.questions import read_questions
from trainer.data.tokenizer import SEPARATOR, Tokenizer, TokenizerSettings, train_tokenizer
from trainer.evaluation.harness import EvaluationSettings, score_questions
from trainer.evaluation.likelihood import Scorer
from trainer.evaluation.perplexity import measure_loss

lm_eval = pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow  # two programs, a minute on a busy machine
CONTEXT = 96


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([row["text"] for row in pages(80)], TokenizerSettings(vocab_size=896))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Random weights, large enough that the scores of choices differ."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
    )
    return LlamaForCausalLM(config).eval()


def scorer(model: LlamaForCausalLM, tokenizer: Tokenizer, separator_first: bool) -> Scorer:
    def logits(tokens: Tensor) -> Tensor:
        return model(tokens).logits  # type: ignore[no-any-return]

    return Scorer(logits, tokenizer, CONTEXT, tokens_at_once=500, separator_first=separator_first)


@pytest.fixture(scope="module", params=[True, False], ids=["separator", "bare"])
def both(request: pytest.FixtureRequest, model: LlamaForCausalLM, tokenizer: Tokenizer) -> tuple[Scorer, Any]:
    """Our scorer and the harness's model, with a separator before each text and without."""
    from lm_eval.models.huggingface import HFLM

    peer = PreTrainedTokenizerFast(
        tokenizer_object=Engine.from_str(tokenizer.json), bos_token=SEPARATOR, eos_token=SEPARATOR
    )
    peer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{SEPARATOR} $A", special_tokens=[(SEPARATOR, tokenizer.separator)]
    )
    theirs = HFLM(pretrained=model, tokenizer=peer, max_length=CONTEXT, batch_size=3, add_bos_token=request.param)
    return scorer(model, tokenizer, request.param), theirs


def run(theirs: Any, task: dict[str, Any], shots: int = 0) -> dict[str, float]:
    """The harness's numbers of one task."""
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_defaults=False).load([{**task, "num_fewshot": shots}])  # the defaults take 20 s to read
    results = lm_eval.evaluate(lm=theirs, task_dict=tasks, bootstrap_iters=0, log_samples=True)
    return results["results"][task["task"]] | {"samples": results["samples"][task["task"]]}  # type: ignore[no-any-return]


def task(name: str, path: Path, **more: Any) -> dict[str, Any]:
    metrics = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in more.pop("metrics")]
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path), "dev": str(path.with_name("dev.jsonl"))}},
        "test_split": "test",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "metric_list": metrics,
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.with_name("dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    return path


def words(random: Random, most: int) -> str:
    texts = [row["text"] for row in pages(20)]
    return " ".join(random.choice(texts).split()[: random.randint(1, most)])


def test_questions_with_full_answers(tmp_path: Path, both: tuple[Scorer, Any]) -> None:
    """ARC's shape: acc, acc_norm and acc_bytes. Some prompts are longer than the context and cut."""
    random = Random(1)
    rows = [
        {
            "question": f"{words(random, 60)}?",
            "choices": {
                "text": [words(random, 12) + "é" * random.randint(0, 3) for _ in "ABCD"],
                "label": list("ABCD"),
            },
            "answerKey": random.choice("ABCD"),
        }
        for _ in range(24)
    ]
    ours, theirs = both
    path = write(tmp_path / "arc.jsonl", rows)
    found = score_questions(ours, read_questions(path), EvaluationSettings())
    expected = run(
        theirs,
        task(
            "arc_local",
            path,
            output_type="multiple_choice",
            doc_to_text="Question: {{question}}\nAnswer:",
            doc_to_target="{{choices.label.index(answerKey)}}",
            doc_to_choice="{{choices.text}}",
            metrics=["acc", "acc_norm", "acc_bytes"],
        ),
    )
    assert found["answer"] == pytest.approx(expected["acc,none"])
    assert found["answer_per_character"] == pytest.approx(expected["acc_norm,none"])
    assert found["answer_per_byte"] == pytest.approx(expected["acc_bytes,none"])
    assert 0.05 < found["answer"] < 0.95
    pairs = [
        ours.pair(f"Question: {row['question']}\nAnswer:", f" {choice}")
        for row in rows
        for choice in row["choices"]["text"]
    ]  # type: ignore[index]
    likelihoods = [response[0][0] for sample in expected["samples"] for response in sample["resps"]]  # type: ignore[attr-defined]
    assert [score.likelihood for score in ours.scores(pairs)] == pytest.approx(
        [float(value) for value in likelihoods], abs=1e-3
    )


def test_lettered_questions_with_examples(tmp_path: Path, both: tuple[Scorer, Any]) -> None:
    """MMLU's shape, two solved examples from dev."""
    if not both[0].separator_first:
        pytest.skip("the other mode is covered by the other conventions")
    random = Random(2)
    rows = [
        {
            "question": f"{words(random, 8)}?",
            "subject": "college_medicine",
            "choices": [words(random, 3) for _ in range(4)],
            "answer": random.randrange(4),
        }
        for _ in range(24)
    ]
    ours, theirs = both
    path = write(tmp_path / "mmlu.jsonl", rows)
    with_dev = [{**row, "split": "dev"} for row in rows[:4]] + [{**row, "split": "test"} for row in rows]
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in with_dev))
    found = score_questions(ours, read_questions(tmp_path / "ours.jsonl"), EvaluationSettings(examples=2))
    expected = run(
        theirs,
        task(
            "mmlu_local",
            path,
            output_type="multiple_choice",
            description="The following are multiple choice questions (with answers) about college medicine.\n\n",
            doc_to_text="{{question.strip()}}\n"
            + "".join(f"{letter}. {{{{choices[{n}]}}}}\n" for n, letter in enumerate("ABCD"))
            + "Answer:",
            doc_to_target="answer",
            doc_to_choice=["A", "B", "C", "D"],
            metrics=["acc"],
        ),
        shots=2,
    )
    assert found["letter"] == pytest.approx(expected["acc,none"])


def test_piqa_questions(tmp_path: Path, both: tuple[Scorer, Any]) -> None:
    """PIQA's shape, with the prompt of the harness's piqa.yaml."""
    random = Random(4)
    rows = [
        {"goal": f"{words(random, 20)}?", "sol1": words(random, 9), "sol2": words(random, 9), "label": n % 2}
        for n in range(24)
    ]
    ours, theirs = both
    path = write(tmp_path / "piqa.jsonl", rows)
    found = score_questions(ours, read_questions(path), EvaluationSettings())
    local = task(
        "piqa_local",
        path,
        output_type="multiple_choice",
        doc_to_text="Question: {{goal}}\nAnswer:",
        doc_to_target="label",
        doc_to_choice="{{[sol1, sol2]}}",
        metrics=["acc", "acc_norm"],
    )
    expected = run(theirs, local)
    assert found["answer"] == pytest.approx(expected["acc,none"])
    assert found["answer_per_character"] == pytest.approx(expected["acc_norm,none"])


def test_copa_questions(tmp_path: Path, both: tuple[Scorer, Any]) -> None:
    """COPA's shape with the harness's own functions. Its choices begin with a space, so its delimiter is left out."""
    copa = run_path(f"{lm_eval.__path__[0]}/tasks/super_glue/copa/utils.py")
    random = Random(5)
    rows = [
        {
            "premise": f"The {words(random, 12)}.",
            "question": random.choice(["cause", "effect"]),
            "choice1": f"A {words(random, 9)}.",
            "choice2": f"It {words(random, 9)}.",
            "label": random.randrange(2),
        }
        for _ in range(24)
    ]
    ours, theirs = both
    path = write(tmp_path / "copa.jsonl", rows)
    found = score_questions(ours, read_questions(path), EvaluationSettings())
    local = task(
        "copa_local",
        path,
        output_type="multiple_choice",
        doc_to_text=copa["doc_to_text"],
        doc_to_target=lambda row: row["label"],
        doc_to_choice=copa["doc_to_choice"],
        target_delimiter="",
        metrics=["acc"],
    )
    assert found["answer"] == pytest.approx(run(theirs, local)["acc,none"])


def test_lambada_sentences(tmp_path: Path, both: tuple[Scorer, Any]) -> None:
    """LAMBADA's shape: the last word, guessed greedily, and its perplexity."""
    random = Random(3)
    rows = [
        {"context": words(random, 50), "continuation": random.choice(["the", "of", "patient", "list", "museum"])}
        for _ in range(24)
    ]
    ours, theirs = both
    path = write(tmp_path / "lambada.jsonl", rows)
    found = score_questions(ours, read_questions(path), EvaluationSettings())
    local = task(
        "lambada_local",
        path,
        output_type="loglikelihood",
        doc_to_text="{{context}}",
        doc_to_target=" {{continuation}}",
        metrics=["acc"],
    )
    local["metric_list"].append({"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False})
    expected = run(theirs, local)
    assert found["guessed"] == pytest.approx(expected["acc,none"])
    assert found["perplexity"] == pytest.approx(expected["perplexity,none"], rel=1e-4)


def test_bits_per_byte_of_documents_longer_than_the_context(tmp_path: Path, both: tuple[Scorer, Any]) -> None:
    ours, theirs = both
    if ours.separator_first:
        pytest.skip("the harness puts the separator before documents in either mode; one suffices")
    rows = [{"page": row["text"] + " Grüße" * (number % 3)} for number, row in enumerate(pages(12, words=(60, 400)))]
    path = write(tmp_path / "text.jsonl", rows)
    local = task(
        "text_local", path, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{page}}", metrics=[]
    )
    local["metric_list"] = [
        {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False},
        {"metric": "byte_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False},
    ]
    expected = run(theirs, local)
    documents = [("all", ours.tokenizer.encode(row["page"]), len(row["page"].encode())) for row in rows]
    assert max(len(tokens) for _, tokens, _ in documents) > 2 * CONTEXT
    fit = measure_loss(ours, documents)[""]
    assert fit.bits_per_byte == pytest.approx(expected["bits_per_byte,none"], rel=1e-5)
    assert math.exp(fit.nats / fit.bytes) == pytest.approx(expected["byte_perplexity,none"], rel=1e-5)


def test_pairs_that_are_split_inside_a_word(both: tuple[Scorer, Any]) -> None:
    """Equal tokens wherever the harness has a continuation to score; where it has none it ends with an error."""
    ours, theirs = both
    equal = 0
    for context, continuation in splits_inside_words():
        expected = theirs._encode_pair(context, continuation)
        found = ours.pair(context, continuation)
        if expected[1]:
            equal += 1
            assert (list(found.context), list(found.continuation)) == expected
        else:
            assert found.continuation
    assert equal > 50
