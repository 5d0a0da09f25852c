"""lm-evaluation-harness asks the endpoint and gets the numbers of our own likelihoods."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tokenizers import Tokenizer as Engine
from transformers import PreTrainedTokenizerFast

from tests.trainer.curated import pages
from tests.trainer.evaluation.test_harness import run, task
from tests.trainer.serving.models import CONTEXT, decoder, serve, served, tokenizer
from trainer.data.questions import read_questions
from trainer.data.tokenizer import SEPARATOR
from trainer.evaluation.harness import EvaluationSettings, score_questions
from trainer.evaluation.likelihood import Scorer
from trainer.rollouts.generate import GenerateSettings, generate_text
from trainer.serving.server import ServeSettings, Serving

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow  # its imports alone take ten seconds


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The harness's client of a served model; it reads the tokenizer from a folder, as a user's does."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=Engine.from_str(tokenizer().json), bos_token=SEPARATOR, eos_token=SEPARATOR
    ).save_pretrained(folder)
    with serve(Serving([served("first", 1)], None, ServeSettings())) as address:
        yield LocalCompletionsAPI(
            base_url=f"{address}v1/completions",
            model="first",
            tokenizer=str(folder),
            tokenizer_backend="huggingface",
            add_bos_token=True,
            max_length=CONTEXT,
            max_gen_toks=16,
            batch_size=4,
        )


def test_the_harness_finds_our_accuracies(theirs: Any, tmp_path: Path) -> None:
    random, texts = Random(1), [row["text"].split() for row in pages(20)]

    def words(most: int) -> str:
        return " ".join(random.choice(texts)[: random.randint(1, most)])

    rows = [
        {
            "question": f"{words(8)}?",
            "choices": {"text": [words(6) for _ in "ABCD"], "label": list("ABCD")},
            "answerKey": random.choice("ABCD"),
        }
        for _ in range(16)
    ]
    path = tmp_path / "arc.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.with_name("dev.jsonl").write_text(path.read_text())
    model = decoder(1)
    ours = Scorer(lambda tokens: model(tokens).logits, tokenizer(), CONTEXT)
    found = score_questions(ours, read_questions(path), EvaluationSettings())
    expected = run(
        theirs,
        task(
            "arc_served",
            path,
            metrics=["acc", "acc_norm"],
            output_type="multiple_choice",
            doc_to_text="Question: {{question}}\nAnswer:",
            doc_to_choice="{{choices.text}}",
            doc_to_target="{{choices.label.index(answerKey)}}",
        ),
    )
    assert found["answer"] == pytest.approx(expected["acc,none"])
    assert found["answer_per_character"] == pytest.approx(expected["acc_norm,none"])
    for question, sample in zip(
        read_questions(path), sorted(expected["samples"], key=lambda item: item["doc_id"]), strict=True
    ):
        pairs = [ours.pair(f"Question: {question.stem}\nAnswer:", f" {choice}") for choice in question.choices]
        for score, (answer,) in zip(ours.scores(pairs), sample["resps"], strict=True):
            likelihood, greedy = answer
            assert float(likelihood) == pytest.approx(score.likelihood, abs=1e-3)
            assert greedy in (score.greedy, str(score.greedy))


def test_the_harness_generates_what_we_generate(theirs: Any) -> None:
    from lm_eval.api.instance import Instance

    texts = [" ".join(row["text"].split()[:4]) for row in pages(5)]
    requests = [
        Instance("generate_until", {}, (text, {"until": ["\n\n"], "temperature": 0, "max_gen_toks": 16}), number)
        for number, text in enumerate(texts)
    ]
    settings = GenerateSettings(max_new_tokens=16, temperature=0)
    ours = generate_text(decoder(1), tokenizer(), texts, settings, denoises=False)
    found = theirs.generate_until(requests)
    assert [text + answer for text, answer in zip(texts, found, strict=True)] == [
        text + whole.removeprefix(text).partition("\n\n")[0] for text, whole in zip(texts, ours, strict=True)
    ]
