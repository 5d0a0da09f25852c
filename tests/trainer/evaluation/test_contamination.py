from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.curated import pages, row, write_dataset
from trainer.data import tokenizer as tokenizers
from trainer.data.dataset import DatasetError, open_dataset
from trainer.data.sources import DataSettings, open_data
from trainer.data.tokenizer import TokenizerSettings
from trainer.evaluation.contamination import (
    WORD,
    ContaminationSettings,
    Hit,
    Index,
    Item,
    build_index,
    canary_recall,
    items_of,
    match,
    normalized,
    scan_dataset,
    scan_texts,
    summary,
    texts_of,
    write_clean,
)

QUESTION = (
    "A ball is thrown straight up with a speed of twenty metres per second; which height does it reach "
    "before it begins to fall, if the air does not slow it?"
)
FILLER = "This page tells of gardens. " * 20


def index(*texts: str, **settings: float) -> Index:
    items = [Item("quiz", number, text) for number, text in enumerate(texts)]
    return build_index(items, ContaminationSettings.model_validate(settings))


def found(text: str, of: Index) -> list[Hit]:
    return scan_texts(of, [("page", text)])[0]


@pytest.mark.parametrize(
    "copy",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION.replace(" ", "\n"),
        QUESTION.replace(" ", "\n\n"),
        QUESTION.replace(";", " ...").replace("?", "").replace(",", " -"),
        "\n".join(" ".join(QUESTION.split()[n : n + 8]) for n in range(0, 40, 8)),
        " ".join(QUESTION.split()[:22]),  # most of it
    ],
)
def test_a_copy_is_found_however_it_is_set(copy: str) -> None:
    (hit,) = found(f"{FILLER}\n\n{copy}\n\n{FILLER}", index(QUESTION))
    assert (hit.document, hit.set, hit.number) == ("page", "quiz", 0)
    assert hit.overlap >= 0.5


@pytest.mark.parametrize(
    "text",
    [
        FILLER,
        " ".join(QUESTION.split()[:16]),  # a quotation of less than half
        " ".join(Random(1).sample(QUESTION.split(), 30)),  # its words in another order
        " ".join(word for pair in zip(QUESTION.split(), ["and"] * 99, strict=False) for word in pair),
        "",
    ],
)
def test_other_text_is_not(text: str) -> None:
    assert found(text, index(QUESTION)) == []


def test_the_report_shows_the_paragraph() -> None:
    (hit,) = found(f"{FILLER}\n\nQuiz! {QUESTION} Answer below.\n\n{FILLER}", index(QUESTION))
    assert hit.paragraph == f"quiz! {QUESTION.lower()} answer below."


def test_short_items_are_tested_whole_and_very_short_ones_not() -> None:
    short, tiny = "the woman retired therefore she received her pension", "ice or fire"
    both = index(short, tiny)
    assert both.sizes.tolist() == [1, 0]
    assert [hit.number for hit in found(f"It says: {short}. And {tiny}.", both)] == [0]
    assert summary(both, [], 1, 0)["sets"]["quiz"]["too_short"] == 1


def test_ngrams_of_very_many_documents_prove_nothing() -> None:
    license = "permission is hereby granted free of charge to any person obtaining a copy of this software " * 2
    both = index(f"{license} {QUESTION}", license, ubiquitous=5)
    pages = [(str(number), f"{license} page {number}") for number in range(10)]
    hits, common = scan_texts(both, [*pages, ("copy", f"{license} {QUESTION}")])
    assert [(hit.document, hit.number) for hit in hits] == [("copy", 0)]
    assert common > 0


@given(
    st.lists(st.text(alphabet="abc .\n漢字", max_size=60), min_size=1, max_size=5),
    st.text(alphabet="abc .\n漢字", max_size=200),
)
def test_matches_are_those_of_a_set_of_word_tuples(texts: list[str], document: str) -> None:
    """Brute force: every run of words as a tuple."""
    settings = {"words": 3, "least": 2}
    ours = index(*texts, **settings)

    def grams(text: str, length: int) -> list[tuple[str, ...]]:
        words = [word.group() for word in WORD.finditer(normalized(text))]
        return [tuple(words[n : n + length]) for n in range(len(words) - length + 1)]

    lengths = [min(len(grams(text, 1)), 3) for text in texts]
    known = {gram for text, length in zip(texts, lengths, strict=True) if length >= 2 for gram in grams(text, length)}
    expected = {
        (length, start) for length in (2, 3) for start, gram in enumerate(grams(document, length)) if gram in known
    }
    assert {(length, start) for length, _, start in match(ours, "d", document).grams} == expected


def test_planted_canaries_are_found_and_their_shuffled_controls_not() -> None:
    random = Random(3)
    words = [f"word{number}" for number in range(4000)]
    items = [" ".join(random.choices(words, k=random.randint(8, 90))) for _ in range(120)]
    hosts = [(row["id"], row["text"]) for row in pages(30)]
    numbers = canary_recall(index(*items), hosts, count=100)
    assert numbers == {"planted": 100, "recall": 1.0, "false_alarms": 0.0}
    with pytest.raises(ValueError, match="nothing to plant"):
        canary_recall(index("too short"), hosts)


def test_a_dataset_is_scanned_and_what_is_found_left_out(tmp_path: Path) -> None:
    """From the report to the filter: the contaminated documents are not in the mixture."""
    rows = [*pages(20), row(500, f"{FILLER}\n\n{QUESTION}"), row(501, QUESTION.upper())]
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows, shards=3)))
    of = index(QUESTION, "something else that nobody wrote on any page of the web so far")
    hits, common = scan_dataset(of, dataset, workers=2, progress=False)
    assert [hit.document for hit in hits] == [rows[20]["id"], rows[21]["id"]]
    assert summary(of, hits, dataset.rows, common) == {
        "documents": 22,
        "contaminated": 2,
        "ubiquitous_ngrams": 0,
        "sets": {"quiz": {"items": 2, "too_short": 0, "found": 1, "documents": 2}},
    }
    (tmp_path / "hits.jsonl").write_text("".join(json.dumps(hit._asdict()) + "\n" for hit in hits))
    tokenizer = tokenizers.train([values["text"] for values in rows], TokenizerSettings(vocab_size=768))
    source = {"path": str(tmp_path / "set"), "exclude": tmp_path / "hits.jsonl"}
    settings = DataSettings.model_validate(
        {"sources": {"web": source}, "cache": tmp_path / "c", "held_out": 0, "workers": 1}
    )
    corpus = open_data(settings, tokenizer, progress=False).corpus
    assert [corpus.describe(number).id for number in range(len(corpus))] == [values["id"] for values in rows[:20]]
    (tmp_path / "hits.jsonl").write_text("[]")
    with pytest.raises(DatasetError, match=r"hits.jsonl: not a list of documents to leave out"):
        open_data(settings, tokenizer, progress=False)


def test_items_are_questions_with_their_answer_or_all_text_of_a_row(tmp_path: Path) -> None:
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text(json.dumps({"query": "Question: Which?", "choices": ["ice", "fire"], "gold": 1}))
    assert items_of(quiz) == [Item("quiz", 0, "Which? fire")]
    chats = tmp_path / "chats.jsonl.gz"
    chats.write_bytes(gzip.compress(json.dumps({"turns": [{"role": "user", "text": "Hello"}, 5]}).encode()))
    assert items_of(chats) == [Item("chats", 0, "user\n\nHello")]
    assert texts_of(chats) == [("chats.jsonl.gz:1", "user\n\nHello")]
    write_clean(chats, [Hit("chats.jsonl.gz:2", "quiz", 0, 1.0, "")], tmp_path / "clean.jsonl.gz")
    assert texts_of(tmp_path / "clean.jsonl.gz") == [("clean.jsonl.gz:1", "user\n\nHello")]
    quiz.write_text("nonsense")
    with pytest.raises(ValueError, match="not JSON lines"):
        items_of(quiz)
