from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest

from tests.trainer.corpora import open_data
from tests.trainer.curated import pages, row, write_dataset
from trainer.contamination.ngram_index import ContaminationSettings, Item, NgramIndex, build_index
from trainer.contamination.scan import (
    Hit,
    Scan,
    measure_recall,
    read_items,
    read_texts,
    scan_dataset,
    scan_texts,
    summarize_scan,
    write_clean,
    write_hits,
)
from trainer.data.curated_dataset import DatasetError, open_dataset
from trainer.data.sources import DataSettings
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.errors import UserError

QUESTION = (
    "A ball is thrown straight up with a speed of twenty metres per second; which height does it reach "
    "before it begins to fall, if the air does not slow it?"
)
FILLER = "This page tells of gardens. " * 20


def index(*texts: str, **settings: float) -> NgramIndex:
    items = [Item("quiz", number, text) for number, text in enumerate(texts)]
    return build_index(items, ContaminationSettings.model_validate(settings))


def found(text: str, of: NgramIndex) -> list[Hit]:
    return scan_texts(of, [("page", text)]).hits


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
def test_a_reformatted_copy_is_found(copy: str) -> None:
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
def test_other_text_is_not_found(text: str) -> None:
    assert found(text, index(QUESTION)) == []


def test_the_report_shows_the_paragraph() -> None:
    (hit,) = found(f"{FILLER}\n\nQuiz! {QUESTION} Answer below.\n\n{FILLER}", index(QUESTION))
    assert hit.paragraph == f"quiz! {QUESTION.lower()} answer below."


def test_short_items_are_tested_whole_and_very_short_ones_not() -> None:
    short, tiny = "the woman retired therefore she received her pension", "ice or fire"
    both = index(short, tiny)
    assert both.sizes.tolist() == [1, 0]
    assert [hit.number for hit in found(f"It says: {short}. And {tiny}.", both)] == [0]
    assert summarize_scan(both, Scan([], 0, 1))["sets"]["quiz"]["too_short"] == 1


def test_ubiquitous_ngrams_are_ignored() -> None:
    license = "permission is hereby granted free of charge to any person obtaining a copy of this software " * 2
    both = index(f"{license} {QUESTION}", license, ubiquitous=5)
    pages = [(str(number), f"{license} page {number}") for number in range(10)]
    hits, common, _ = scan_texts(both, [*pages, ("copy", f"{license} {QUESTION}")])
    assert [(hit.document, hit.number) for hit in hits] == [("copy", 0)]
    assert common > 0


def test_planted_canaries_are_found_and_their_shuffled_controls_not() -> None:
    random = Random(3)
    words = [f"word{number}" for number in range(4000)]
    items = [" ".join(random.choices(words, k=random.randint(8, 90))) for _ in range(120)]
    hosts = [(row["id"], row["text"]) for row in pages(30)]
    numbers = measure_recall(index(*items), hosts, count=100)
    assert numbers == {"planted": 100, "recall": 1.0, "false_alarms": 0.0}
    with pytest.raises(UserError, match="nothing to plant"):
        measure_recall(index("too short"), hosts)


def test_a_dataset_is_scanned_and_what_is_found_left_out(tmp_path: Path) -> None:
    """From the report to the filter: the contaminated documents are not in the mixture."""
    rows = [*pages(20), row(500, f"{FILLER}\n\n{QUESTION}"), row(501, QUESTION.upper())]
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows, shards=3)))
    of = index(QUESTION, "something else that nobody wrote on any page of the web so far")
    scan = scan_dataset(of, dataset, workers=2, progress=False)
    assert [hit.document for hit in scan.hits] == [rows[20]["id"], rows[21]["id"]]
    assert summarize_scan(of, scan) == {
        "documents": 22,
        "contaminated": 2,
        "ubiquitous_ngrams": 0,
        "sets": {"quiz": {"items": 2, "too_short": 0, "found": 1, "documents": 2}},
    }
    write_hits(tmp_path / "hits.jsonl", scan.hits)
    tokenizer = train_tokenizer([values["text"] for values in rows], TokenizerSettings(vocab_size=768))
    source = {"path": str(tmp_path / "set"), "exclude": tmp_path / "hits.jsonl"}
    settings = DataSettings.model_validate(
        {"sources": {"web": source}, "cache": tmp_path / "c", "held_out": 0, "workers": 1}
    )
    corpus = open_data(settings, tokenizer).corpus
    assert [corpus.describe(number).id for number in range(len(corpus))] == [values["id"] for values in rows[:20]]
    (tmp_path / "hits.jsonl").write_text("[]")
    with pytest.raises(DatasetError, match=r"hits.jsonl: not a list of documents to leave out"):
        open_data(settings, tokenizer)


def test_items_are_questions_with_their_answer_or_all_text_of_a_row(tmp_path: Path) -> None:
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text(json.dumps({"query": "Question: Which?", "choices": ["ice", "fire"], "gold": 1}))
    assert read_items(quiz) == [Item("quiz", 0, "Which? fire")]
    chats = tmp_path / "chats.jsonl.gz"
    chats.write_bytes(gzip.compress(json.dumps({"turns": [{"role": "user", "text": "Hello"}, 5]}).encode()))
    assert read_items(chats) == [Item("chats", 0, "user\n\nHello")]
    assert read_texts(chats) == [("chats.jsonl.gz:1", "user\n\nHello")]
    write_clean(chats, [Hit("chats.jsonl.gz:2", "quiz", 0, 1.0, "")], tmp_path / "clean.jsonl.gz")
    assert read_texts(tmp_path / "clean.jsonl.gz") == [("clean.jsonl.gz:1", "user\n\nHello")]
    quiz.write_text("nonsense")
    with pytest.raises(UserError, match="not JSON lines"):
        read_items(quiz)
