"""Evaluation of a model: held-out text by domain, and the benchmarks' questions by both conventions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from trainer.data.corpus import Corpus
from trainer.evaluation import perplexity
from trainer.evaluation.likelihood import Scorer
from trainer.evaluation.questions import LETTERS, Question, answer_prompt, letter_prompt, read_questions
from trainer.settings import Settings


class EvaluationSettings(Settings):
    """How questions are asked."""

    examples: int = Field(default=0, ge=0, description="solved examples before each question, from the `dev` split")
    limit: int | None = Field(default=None, ge=1, description="questions of each file; all where left out")
    documents: int | None = Field(default=None, ge=1, description="held-out documents; all where left out")


def evaluate(
    scorer: Scorer, tasks: Sequence[Path], held_out: Corpus | None, settings: EvaluationSettings
) -> dict[str, Any]:
    """{"held_out": {domain: numbers}, "tasks": {name: numbers}}."""
    report: dict[str, Any] = {"held_out": {}, "tasks": {}}
    if held_out is not None:
        fits = perplexity.measure(scorer, perplexity.held_out_documents(held_out, settings.documents))
        report["held_out"] = {name or "all": fit_row(fit) for name, fit in fits.items()}
    for path in tasks:
        name = path.name.removesuffix(".gz").removesuffix(".jsonl")
        report["tasks"][name] = ask(scorer, read_questions(path), settings)
    return report


def fit_row(fit: perplexity.Fit) -> dict[str, float]:
    """A fit as numbers for a report."""
    return {
        "documents": fit.documents,
        "tokens": fit.tokens,
        "bytes": fit.bytes,
        "loss": fit.loss,
        "perplexity": fit.perplexity,
        "bits_per_byte": fit.bits_per_byte,
    }


def ask(scorer: Scorer, questions: Sequence[Question], settings: EvaluationSettings) -> dict[str, float]:
    """Accuracies by both conventions; of questions with one answer, how often and how well it is guessed."""
    asked = [question for question in questions if question.split != "dev"][: settings.limit]
    prompted = [(question, examples_for(question, questions, settings.examples)) for question in asked]
    if all(len(question.choices) == 1 for question in asked):
        return _ask_words(scorer, prompted)
    numbers = _ask_answers(scorer, prompted) | _ask_letters(scorer, prompted)
    return {"questions": len(asked), "chance": sum(1 / len(q.choices) for q in asked) / len(asked)} | numbers


Prompted = Sequence[tuple[Question, Sequence[Question]]]


def examples_for(question: Question, questions: Sequence[Question], count: int) -> list[Question]:
    """The first `dev` questions of the same subject."""
    if not count:
        return []
    found = [other for other in questions if other.split == "dev" and other.subject == question.subject][:count]
    if len(found) < count:
        raise ValueError(
            f"{count} examples asked for, the file has {len(found)} dev questions about {question.subject!r}"
        )
    return found


def _ask_answers(scorer: Scorer, prompted: Prompted) -> dict[str, float]:
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
    return {key: value for name, hits in right.items() for key, value in accuracy(name, hits).items()}


def _ask_letters(scorer: Scorer, prompted: Prompted) -> dict[str, float]:
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
    return accuracy("letter", hits)


def _ask_words(scorer: Scorer, prompted: Prompted) -> dict[str, float]:
    pairs = [scorer.pair(answer_prompt(q, examples), f" {q.choices[0]}") for q, examples in prompted]
    scores = scorer.scores(pairs)
    mean = sum(score.likelihood for score in scores) / len(scores)
    exact = accuracy("guessed", [score.greedy for score in scores])
    return {"questions": len(scores), **exact, "perplexity": math.exp(min(-mean, 700.0))}


def accuracy(name: str, hits: Sequence[bool]) -> dict[str, float]:
    """The share of hits with its standard error (of a sample: n - 1)."""
    share = sum(hits) / len(hits)
    error = math.sqrt(share * (1 - share) / (len(hits) - 1)) if len(hits) > 1 else 0.0
    return {name: share, f"{name}_error": error}


def table(report: dict[str, Any]) -> str:
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
        shown = (f"{key.replace('_', ' ')} {_number(row[key])}" for key in row if not _is_aside(key))
        lines.append(f"{name}, {row['questions']:,} questions: {', '.join(shown)}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1000 else f"{value:.3g}"


def _is_aside(key: str) -> bool:
    return key == "questions" or key.endswith("_error")
