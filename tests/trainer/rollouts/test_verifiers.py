"""Verifiers: right and wrong answers of each kind, and hostile ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import UserError
from trainer.rollouts.generated_tasks import KINDS, generate_tasks
from trainer.rollouts.verifiers import CONSTRAINTS, VERIFIERS, check_verifier, verify, word_f1


@pytest.mark.parametrize(
    ("answer", "expected", "reward"),
    [
        ("12", "12", 1), ("It is 12.", "12", 1), ("3 + 9 = 12", "12", 1), ("12 or 13", "12", 0), ("1,200", "1200", 1),
        ("1200.0", "1200", 1), ("-7", "-7", 1), ("7", "-7", 0), ("", "12", 0), ("twelve", "12", 0), ("x12", "12", 0),
        ("1e3", "1000", 1), ("12abc", "12", 0), ("9" * 5000, "9", 0), ("½", "0.5", 0),
    ],
)  # fmt: skip
def test_numbers(answer, expected, reward):
    assert verify(answer, {"kind": "number", "answer": expected}) == reward


def test_texts_and_words():
    check = {"kind": "text", "answer": ["Paris", "the city of Paris"]}
    assert [verify(text, check) for text in ("paris.", "The Paris", "City of Paris!", "Lyon", "")] == [1, 1, 1, 0, 0]
    assert word_f1("the red cat", "a red dog") == pytest.approx(0.5)
    assert verify("red cat", {"kind": "f1", "answer": ["blue", "red cat"]}) == 1
    assert word_f1("the", "a") == 1  # nothing but articles on both sides
    assert word_f1("", "red") == 0


def test_json():
    assert verify('{"a": 1}', {"kind": "json"}) == 1
    assert [verify(text, {"kind": "json"}) for text in ("NaN", '{"a": -Infinity}', '{"a": 1e3}')] == [0, 0, 1]
    assert verify('{"a": 1}', {"kind": "json", "keys": ["a", "b"]}) == 0
    assert verify("[1]", {"kind": "json", "keys": ["a"]}) == 0
    assert verify("[" * 90_000, {"kind": "json"}) == 0
    assert verify('```json\n{"a": 1}\n```', {"kind": "json"}) == 0


@pytest.mark.parametrize(
    ("rule", "value", "right", "wrong"),
    [
        ("min_words", 3, "one two three", "one two"),
        ("max_words", 2, "one two", "one two three"),
        ("max_characters", 5, "abcde", "abcdef"),
        ("sentences", 2, "One. Two!", "One. Two. Three"),
        ("paragraphs", 2, "a\n\nb", "a\nb"),
        ("bullets", 2, "- a\n* b", "- a"),
        ("contains", ["sun", "moon"], "Sun and MOON", "sun"),
        ("excludes", "sun", "moon", "sunny"),
        ("starts_with", "Dear", "Dear you", "You"),
        ("ends_with", "Bye.", "x Bye. ", "Bye"),
        ("lower_case", True, "abc", "Abc"),
        ("upper_case", True, "ABC", "ABc"),
        ("no_commas", True, "a b", "a, b"),
        ("in_quotes", True, '"a b"', "a b"),
    ],
)
def test_instructions(rule, value, right, wrong):
    check = check_verifier({"kind": "constraints", "rules": {rule: value}})
    assert (verify(right, check), verify(wrong, check)) == (1, 0)
    if rule not in ("min_words",):
        assert verify("", check) == 0  # an empty answer keeps no rule


def test_every_rule_is_tested_and_parts_count():
    assert len(CONSTRAINTS) >= 12
    check = {"kind": "constraints", "rules": {"max_words": 3, "starts_with": "A"}}
    assert verify("B c", check) == 0.5


@given(st.text(max_size=60), st.sampled_from(sorted(VERIFIERS)))
def test_any_answer_gets_a_reward_between_0_and_1(answer, kind):
    check = {"kind": kind, "answer": "1", "rules": {"sentences": 1, "bullets": 2}}
    assert 0 <= verify(answer, check) <= 1


@pytest.mark.parametrize(
    "check",
    [
        None,
        {},
        {"kind": "magic"},
        {"kind": "number"},
        {"kind": "number", "answer": "x"},
        {"kind": "number", "answer": float("nan")},
        {"kind": "number", "answer": "-Infinity"},
        {"kind": "json", "keys": 5},
        {"kind": "json", "keys": [["a"]]},
        {"kind": "text", "answer": 7},
        {"kind": "constraints", "rules": {"rhymes": 1}},
        {"kind": "constraints", "rules": {}},
    ],
)
def test_a_check_that_cannot_work_is_refused(check):
    with pytest.raises(UserError):
        check_verifier(check)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_generated_tasks_are_right_by_their_own_verifier(kind):
    items = list(generate_tasks(kind, 50, 2, seed=1))
    assert all(verify(item["messages"][1]["content"], check_verifier(item["verify"])) == 1 for item in items)
    assert len({json.dumps(item) for item in items}) > 20 or kind == "count"
    assert items == list(generate_tasks(kind, 50, 2, seed=1))
    assert items != list(generate_tasks(kind, 50, 2, seed=2))
