from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from trainer.data.questions import Question, QuestionError, answer_prompt, letter_prompt, read_questions

ARC = {"question": "Which is hot?", "choices": {"text": ["ice", "fire"], "label": ["1", "2"]}, "answerKey": "2"}
FOUNDRY = {"query": "Question: Which is hot?\n", "choices": ["ice", "fire"], "gold": 1}
PIQA = {"goal": "Which is hot?", "sol1": "ice", "sol2": "fire", "label": 1}
COPA = {"premise": "The man fell.", "question": "cause", "choice1": "He slept.", "choice2": "It was wet.", "label": 1}
COPA_FOUNDRY = {"query": "The man fell, because", "choices": ["he slept.", "it was wet."], "gold": 1}
MMLU = {
    "split": "test",
    "subject": "high_school_physics",
    "question": "Which is hot?",
    "choices": ["ice", "fire"],
    "answer": "1",
}
MMLU_LETTER = {"question": "Which is hot?", "subject": "high_school_physics", "choices": ["ice", "fire"], "answer": "B"}
LAMBADA = {"context": "He lit the ", "continuation": "fire"}


def read(path: Path, *rows: dict[str, Any]) -> list[Question]:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return read_questions(path)


@pytest.mark.parametrize("row", [ARC, FOUNDRY, PIQA])
def test_one_question_in_three_shapes(tmp_path: Path, row: dict[str, Any]) -> None:
    (question,) = read(tmp_path / "q.jsonl", row)
    assert question == Question("Which is hot?", ("ice", "fire"), 1)
    assert answer_prompt(question, []) == "Question: Which is hot?\nAnswer:"
    assert letter_prompt(question, []) == "Which is hot?\nA. ice\nB. fire\nAnswer:"


def test_sentences_are_continued(tmp_path: Path) -> None:
    copa, foundry, lambada = read(tmp_path / "q.jsonl", COPA, COPA_FOUNDRY, LAMBADA)
    assert copa.prompt == "The man fell because"
    assert copa.choices == ("he slept.", "it was wet.")
    assert foundry.prompt == "The man fell, because"
    assert (lambada.prompt, lambada.choices, lambada.gold) == ("He lit the", ("fire",), 0)


def test_mmlu_names_its_subject_and_shows_solved_examples(tmp_path: Path) -> None:
    header = {"split": "dev", "subject": "x", "question": "question", "choices": ["choice0"], "answer": "answer"}
    dev = {**MMLU, "split": "dev", "question": "Which is cold?", "answer": "0"}
    example, question = read(tmp_path / "q.jsonl", header, dev, MMLU)
    assert letter_prompt(question, [example]) == (
        "The following are multiple choice questions (with answers) about high school physics.\n\n"
        "Which is cold?\nA. ice\nB. fire\nAnswer: A\n\nWhich is hot?\nA. ice\nB. fire\nAnswer:"
    )
    assert answer_prompt(question, [example]).endswith("Answer: ice\n\nQuestion: Which is hot?\nAnswer:")
    (lettered,) = read(tmp_path / "q.jsonl", MMLU_LETTER)
    assert lettered.gold == 1


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(ARC).encode()))
    assert len(read_questions(path)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"q.jsonl:1: not a question \(KeyError"),
        ("nonsense", r"q.jsonl:1: not a question \(JSONDecodeError"),
        (json.dumps({**FOUNDRY, "gold": 2}), r"q.jsonl:1: answer 2 of 2 choices"),
        (json.dumps({**FOUNDRY, "choices": ["", "x"]}), "an empty choice"),
        (json.dumps(ARC) + "\n[]", r"q.jsonl:2: not a question"),
        ("", "holds no question"),
        (json.dumps({**MMLU, "split": "dev"}), "holds no question"),
    ],
)
def test_files_without_questions_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "q.jsonl").write_text(text)
    with pytest.raises(QuestionError, match=message):
        read_questions(tmp_path / "q.jsonl")


def test_missing_and_damaged_files_get_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(QuestionError, match="cannot be read"):
        read_questions(tmp_path / "nothing.jsonl")
    (tmp_path / "q.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(QuestionError, match="cannot be read"):
        read_questions(tmp_path / "q.jsonl.gz")
