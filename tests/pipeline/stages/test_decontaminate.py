"""Documents that hold items of evaluation sets are dropped; a plain search for word tuples is the oracle."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.lists.evaluation_sets import EvaluationIndex, EvaluationItem, read_items
from pipeline.stages.decontaminate import DecontaminateReason, DecontaminateSettings, build

QUESTION = (
    "A train leaves the old station at nine in the morning and travels sixty miles an hour for two hours. How far?"
)
TEXT = "The museum of the town shows paintings from three centuries and a collection of tools that farmers used. " * 5


def document(text: str) -> Document:
    return Document("ab" * 16, "http://example.org/", "", "a", 0, "", "", "", text)


@pytest.fixture
def sets(tmp_path):
    rows = [{"question": QUESTION, "choices": ["120 miles", "30 miles"]}, {"question": "How far?"}]
    (tmp_path / "trains.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "lines.txt.gz").write_bytes(
        gzip.compress("水は百度で沸騰し零度で凍る\n\nonly five words are here\n".encode())
    )
    return DecontaminateSettings(sets=(tmp_path / "trains.jsonl", tmp_path / "lines.txt.gz"))


@pytest.mark.parametrize(
    "copy",
    [
        QUESTION,
        QUESTION.upper(),
        re.sub(r"\W+", " ", QUESTION),
        "\n\n".join(re.findall(r"(?:\S+ ?){1,4}", QUESTION)),
        QUESTION.replace("How far", "What distance"),
    ],
)
def test_a_copy_is_found_however_it_is_printed(sets, copy):
    found = build(sets)(document(TEXT + copy + "\n" + TEXT))
    assert isinstance(found, Dropped)
    assert (found.stage, found.reason) == ("decontaminate", DecontaminateReason.EVALUATION_ITEM)
    assert found.detail == "trains, line 1"
    assert found.value >= found.threshold == 0.5


def test_other_texts_pass(sets):
    stage = build(sets)
    shuffled = QUESTION.split()
    Random(0).shuffle(shuffled)
    for text in (TEXT, TEXT + " ".join(shuffled), TEXT + "How far? only five words are here", ""):
        kept = document(text)
        assert stage(kept) is kept


def test_scripts_without_spaces_and_short_items(sets):
    assert build(sets)(document("昨日の話だが、水は百度で沸騰し、零度で凍る。")).detail == "lines, line 1"


def test_no_sets_change_nothing():
    kept = document(QUESTION)
    assert build(DecontaminateSettings())(kept) is kept


def test_unreadable_sets_are_one_line(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"a": "b"}\n{broken\n')
    (tmp_path / "bad.txt.gz").write_bytes(b"no gzip")
    for name, message in (("bad.jsonl", "line 2: not JSON"), ("bad.txt.gz", "gzip"), ("none.txt", "none.txt")):
        with pytest.raises(UserError, match=message):
            build(DecontaminateSettings(sets=(tmp_path / name,)))


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=30)


@given(items=st.lists(WORDS, max_size=4), text=WORDS, words=st.integers(2, 5), share=st.floats(0.05, 1))
def test_shares_are_those_of_word_tuples(items, text, words, share):
    def grams(tokens: list[str], length: int) -> set[tuple[str, ...]]:
        return {tuple(tokens[at : at + length]) for at in range(len(tokens) - length + 1)}

    expected = {}
    for number, item in enumerate(items):
        length = min(words, len(item))
        if length >= 2:
            own = grams(item, length)
            expected[number] = len(own & grams(text, length)) / len(own)
    best = min(expected, key=lambda number: (-expected[number], number), default=None)
    index = EvaluationIndex((EvaluationItem("s", n, " ".join(item)) for n, item in enumerate(items)), words, 2)
    found = index.find(" ".join(text), share)
    if best is None or expected[best] < share or not expected[best]:
        assert found is None
    else:
        assert (found.item.number, found.share) == (best, expected[best])


def test_memory_is_linear_in_the_sets():
    def peak(count: int) -> int:
        random = Random(1)
        items = [
            EvaluationItem("s", n, " ".join(f"w{random.randrange(5000)}" for _ in range(60))) for n in range(count)
        ]
        tracemalloc.start()
        EvaluationIndex(items, 13, 8)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(4000) < 6 * peak(1000)


def test_items_are_numbered_by_line(tmp_path):
    (tmp_path / "a.b.txt").write_text("one\n\nthree\n")
    assert [(item.set, item.number, item.text) for item in read_items(tmp_path / "a.b.txt")] == [
        ("a.b", 1, "one"),
        ("a.b", 3, "three"),
    ]
