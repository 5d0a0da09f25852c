"""Benchmark questions: read from the benchmarks' own files, turned into prompts by two conventions.

*Letter*: the choices are listed under A, B, C ... and the model has to prefer the right letter (MMLU's convention;
small models are near chance). *Answer*: the choices are not shown, and the model has to prefer the right one's full
text (ARC, PIQA, COPA). The sum of log-likelihoods favors short texts; divided by characters or bytes it does not, and
does not depend on the tokenizer. All three are reported.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import UserError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class QuestionError(UserError):
    """A file of questions cannot be read: which line, and why."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question. A stem that is not a question (COPA, LAMBADA) is a sentence that the answer completes."""

    stem: str
    choices: tuple[str, ...]  # only the right one where the answer is a word to guess (LAMBADA)
    gold: int
    is_question: bool = True
    subject: str = ""  # MMLU's; printed above the prompt
    split: str = ""  # `dev` questions are examples for the prompt, not tested

    @property
    def prompt(self) -> str:
        """The stem as the answer convention shows it; a space and the answer follow."""
        return f"Question: {self.stem}\nAnswer:" if self.is_question else self.stem

    @property
    def lettered(self) -> str:
        """The stem with its choices; a space and the letter follow."""
        listed = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, self.choices, strict=False))
        return f"{self.stem}\n{listed}Answer:"


def read_questions(path: Path) -> list[Question]:
    """Questions of a .jsonl or .jsonl.gz file in any of the shapes below."""
    questions = []
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                questions += _parse_line(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionError(f"{path}: cannot be read ({error})") from error
    if not any(question.split != "dev" for question in questions):
        raise QuestionError(f"{path}: holds no question")
    return questions


def _parse_line(line: str, place: str) -> list[Question]:
    try:
        question = _parse_row(json.loads(line))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise QuestionError(f"{place}: not a question ({type(error).__name__}: {error})") from error
    if question is None:
        return []
    if not 0 <= question.gold < len(question.choices) or not all(question.choices):
        raise QuestionError(f"{place}: answer {question.gold} of {len(question.choices)} choices, or an empty choice")
    return [question]


def _parse_row(row: dict[str, Any]) -> Question | None:
    """One row in the shape of llm-foundry, MMLU, ARC, PIQA, COPA or LAMBADA; None for a repeated header."""
    if "query" in row:
        stem = row["query"].strip()
        is_question = stem.startswith("Question:")
        return Question(stem.removeprefix("Question:").strip(), _texts(row["choices"]), int(row["gold"]), is_question)
    if "continuation" in row:
        return Question(row["context"].rstrip(), _texts([row["continuation"]]), 0, False)
    if "answerKey" in row:
        labels = list(row["choices"]["label"])
        return Question(row["question"].strip(), _texts(row["choices"]["text"]), labels.index(row["answerKey"]))
    if "sol1" in row:
        return Question(row["goal"].strip(), _texts([row["sol1"], row["sol2"]]), int(row["label"]))
    if "premise" in row:
        link = {"cause": "because", "effect": "therefore"}[row["question"]]
        choices = [choice[:1].lower() + choice[1:] for choice in _texts([row["choice1"], row["choice2"]])]
        return Question(f"{row['premise'].strip()[:-1]} {link}", tuple(choices), int(row["label"]), False)
    if row["answer"] == "answer":  # the header row that some files of MMLU contain
        return None
    subject = str(row.get("subject", "")).replace("_", " ")
    return Question(row["question"].strip(), _texts(row["choices"]), _gold(row), True, subject, row.get("split", ""))


def _gold(row: dict[str, Any]) -> int:
    answer = row["answer"]
    return LETTERS.index(answer) if isinstance(answer, str) and answer in LETTERS else int(answer)


def _texts(choices: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(choice).strip() for choice in choices)


def letter_prompt(question: Question, examples: Sequence[Question]) -> str:
    """The prompt of the letter convention, after solved examples."""
    solved = "".join(f"{example.lettered} {LETTERS[example.gold]}\n\n" for example in examples)
    return _heading(question) + solved + question.lettered


def answer_prompt(question: Question, examples: Sequence[Question]) -> str:
    """The prompt of the answer convention, after solved examples."""
    solved = "".join(f"{example.prompt} {example.choices[example.gold]}\n\n" for example in examples)
    return _heading(question) + solved + question.prompt


def _heading(question: Question) -> str:
    if not question.subject:
        return ""
    return f"The following are multiple choice questions (with answers) about {question.subject}.\n\n"
