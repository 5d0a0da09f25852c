"""Evaluation of a model: held-out text by domain, and benchmark questions by both conventions (see questions.py)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from trainer.data.corpus import Corpus
from trainer.data.questions import LETTERS, Question, answer_prompt, letter_prompt, read_questions
from trainer.errors import UserError
from trainer.evaluation.likelihood import Scorer
from trainer.evaluation.perplexity import TextLoss, held_out_documents, measure_loss
from trainer.settings import Settings

Prompted = Sequence[tuple[Question, Sequence[Question]]]  # each question with its solved examples


class EvaluationSettings(Settings):
    """How much is evaluated, and with how many examples."""

    examples: int = Field(
        default=0, ge=0, description="number of solved examples before each question, from the `dev` split"
    )
    limit: int | None = Field(default=None, ge=1, description="most questions of each file; off = all")
    documents: int | None = Field(default=None, ge=1, description="most held-out documents; off = all")


def evaluate(
    scorer: Scorer, tasks: Sequence[Path], held_out: Corpus | None, settings: EvaluationSettings
) -> dict[str, Any]:
    """{"held_out": {domain: numbers}, "tasks": {name: numbers}}."""
    report: dict[str, Any] = {"held_out": {}, "tasks": {}}
    if held_out is not None:
        losses = measure_loss(scorer, held_out_documents(held_out, settings.documents))
        report["held_out"] = {name or "all": _loss_row(sums) for name, sums in losses.items()}
    for path in tasks:
        name = path.name.removesuffix(".gz").removesuffix(".jsonl")
        report["tasks"][name] = score_questions(scorer, read_questions(path), settings)
    return report


def _loss_row(sums: TextLoss) -> dict[str, float]:
    return {
        "documents": sums.documents,
        "tokens": sums.tokens,
        "bytes": sums.bytes,
        "loss": sums.loss,
        "perplexity": sums.perplexity,
        "bits_per_byte": sums.bits_per_byte,
    }


def score_questions(scorer: Scorer, questions: Sequence[Question], settings: EvaluationSettings) -> dict[str, float]:
    """Accuracies by both conventions; where there is one choice, how often it is guessed, and its perplexity."""
    tested = [question for question in questions if question.split != "dev"][: settings.limit]
    prompted = add_examples(tested, questions, settings.examples)
    if all(len(question.choices) == 1 for question in tested):
        return _score_words(scorer, prompted)
    numbers = _score_answers(scorer, prompted) | _score_letters(scorer, prompted)
    return {"questions": len(tested), "chance": sum(1 / len(q.choices) for q in tested) / len(tested)} | numbers


def headline_accuracy(numbers: Mapping[str, float]) -> float:
    """The one accuracy that stands for a file: of answers per byte, or of words to guess (see `score_questions`)."""
    return numbers["guessed"] if "guessed" in numbers else numbers["answer_per_byte"]


def add_examples(tested: Sequence[Question], questions: Sequence[Question], count: int) -> Prompted:
    """Each tested question with the first `count` dev questions of its subject."""
    if not count:
        return [(question, []) for question in tested]
    examples: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        if question.split == "dev" and len(examples[question.subject]) < count:
            examples[question.subject].append(question)
    for question in tested:
        found = len(examples[question.subject])
        if found < count:
            raise UserError(
                f"examples = {count}, but the file has {found} dev questions about {question.subject!r}; lower it"
            )
    return [(question, examples[question.subject]) for question in tested]


def _score_answers(scorer: Scorer, prompted: Prompted) -> dict[str, float]:
    pairs = [
        scorer.pair(answer_prompt(question, examples), f" {choice}")
        for question, examples in prompted
        for choice in question.choices
    ]
    scores = iter(scorer.scores(pairs))
    right: dict[str, list[bool]] = {"answer": [], "answer_per_character": [], "answer_per_byte": []}
    for question, _ in prompted:
        likelihoods = [next(scores).likelihood for _ in question.choices]
        lengths = {
            "answer": [1] * len(likelihoods),
            "answer_per_character": [len(choice) for choice in question.choices],
            "answer_per_byte": [len(choice.encode()) for choice in question.choices],
        }
        for name, divisors in lengths.items():
            scaled = [value / divisor for value, divisor in zip(likelihoods, divisors, strict=True)]
            right[name].append(scaled.index(max(scaled)) == question.gold)
    return {key: value for name, hits in right.items() for key, value in measure_accuracy(name, hits).items()}


def _score_letters(scorer: Scorer, prompted: Prompted) -> dict[str, float]:
    pairs = [
        scorer.pair(letter_prompt(question, examples), f" {letter}")
        for question, examples in prompted
        for letter in LETTERS[: len(question.choices)]
    ]
    scores = iter(scorer.scores(pairs))
    hits = []
    for question, _ in prompted:
        likelihoods = [next(scores).likelihood for _ in question.choices]
        hits.append(likelihoods.index(max(likelihoods)) == question.gold)
    return measure_accuracy("letter", hits)


def _score_words(scorer: Scorer, prompted: Prompted) -> dict[str, float]:
    pairs = [scorer.pair(answer_prompt(q, examples), f" {q.choices[0]}") for q, examples in prompted]
    scores = scorer.scores(pairs)
    mean = sum(score.likelihood for score in scores) / len(scores)
    exact = measure_accuracy("guessed", [score.greedy for score in scores])
    return {"questions": len(scores), **exact, "perplexity": math.exp(min(-mean, 700.0))}


def measure_accuracy(name: str, hits: Sequence[bool]) -> dict[str, float]:
    """The share of hits with its standard error (of a sample: n - 1)."""
    share = sum(hits) / len(hits)
    error = math.sqrt(share * (1 - share) / (len(hits) - 1)) if len(hits) > 1 else 0.0
    return {name: share, f"{name}_error": error}


def format_evaluation(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = []
    if report["held_out"]:
        lines.append(f"{'held-out text':<28}{'documents':>10}{'tokens':>12}{'perplexity':>12}{'bits/byte':>11}")
        for name, row in report["held_out"].items():
            lines.append(
                f"{name[:27]:<28}{row['documents']:>10,}{row['tokens']:>12,}"
                f"{row['perplexity']:>12,.2f}{row['bits_per_byte']:>11.4f}"
            )
    for name, row in report["tasks"].items():
        shown = (f"{key.replace('_', ' ')} {_number(row[key])}" for key in row if not _is_hidden(key))
        lines.append(f"{name}, {row['questions']:,} questions: {', '.join(shown)}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1000 else f"{value:.3g}"


def _is_hidden(key: str) -> bool:
    return key == "questions" or key.endswith("_error")
