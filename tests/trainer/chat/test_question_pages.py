"""Pages of questions and answers become conversations, where their text makes sure of both."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from tests.trainer.commands.invoke import run
from tests.trainer.curated import SCHEMA, pages, row, write_dataset
from trainer.chat.question_pages import Exchange, find_exchanges
from trainer.chat.read_conversations import read_conversations
from trainer.errors import UserError

WHEAT = "Wheat is ground between two stones, of which the upper one turns."
RYE = "Rye has less gluten, so that its dough rises less than that of wheat."
OATS = "Oats are rolled flat by the mill, and then they are steamed."
PAIRS = f"About us\n\nQ: How is wheat ground?\nA: {WHEAT}\n\nMore of it.\n\nQ: Why is rye flat?\n\nA: {RYE}\n\nFooter"
FAQ = (
    f"Our mill\n\nFrequently Asked Questions\n\n## How is wheat ground?\n\n{WHEAT}\n\nMore of it.\n\n"
    f"2. Why is rye so flat?\n{RYE}\n\nWhat are rolled oats?\n\n{OATS}\n\nSubscribe to our letter today, and buy flour."
)
BODY = "My stones are worn, and nothing helps. What should I do with them?"
SITE = (
    f"{BODY}\n\nAsked by Mary on Jun 29, 2012\n\n2 Answers\n\nTom Stone\nanswered May 2, 2019 at 0:09\n\n{WHEAT}"
    f"\n\n{RYE}\n\nAnn\nanswered May 3, 2019 at 21:22\n\n{OATS}"
)
THREAD = (
    f"mary\nJan 3, 2024\n\n{BODY}\n\ntom.stone\nJan 4, 2024\n\nWhich stones are they, and how old are they by now?\n\n"
    f"mary\nJan 4, 2024\n\nThey are of basalt, from my grandfather's mill at home.\n\nann\n2024-01-05 10:59\n\n{WHEAT}"
    f"\n\n{RYE}\n\ntom.stone\nJan 6, 2024\n\nThat is right."
)


def test_lines_of_questions_and_answers() -> None:
    assert find_exchanges(PAIRS) == [
        Exchange("How is wheat ground?", f"{WHEAT}\n\nMore of it.", "pairs"),
        Exchange("Why is rye flat?", RYE, "pairs"),
    ]


def test_frequent_questions() -> None:
    assert find_exchanges(FAQ) == [
        Exchange("How is wheat ground?", f"{WHEAT}\n\nMore of it.", "FAQ"),
        Exchange("Why is rye so flat?", RYE, "FAQ"),
        Exchange("What are rolled oats?", OATS, "FAQ"),
    ]


def test_a_question_above_its_answers() -> None:
    expected = [Exchange(f"Worn stones\n\n{BODY}", f"{WHEAT}\n\n{RYE}", "answered")]
    assert find_exchanges(SITE, "Worn stones") == expected
    accepted = SITE.replace("2 Answers\n\nTom Stone\nanswered May 2, 2019 at 0:09", "Accepted Answer by Tom")
    assert find_exchanges(accepted, "Worn stones") == expected
    last = SITE.partition("\n\nAnn\n")[0]
    assert find_exchanges(last) == [Exchange(BODY, WHEAT, "answered")]  # no end: a paragraph


def test_the_first_reply_of_somebody_else_that_asks_nothing() -> None:
    assert find_exchanges(THREAD, kind="forum") == [Exchange(BODY, f"{WHEAT}\n\n{RYE}", "thread")]
    assert find_exchanges(THREAD) == []
    assert find_exchanges(THREAD.partition("ann\n")[0], kind="forum") == []  # asked back, and the asker again


@pytest.mark.parametrize(
    "text",
    [
        PAIRS.partition("Q: Why")[0],  # one pair may be a heading's
        FAQ.replace("Frequently Asked Questions", "Our flour"),
        FAQ.replace("What are rolled oats?", "Rolled oats"),
        SITE.replace("2 Answers", "Reviews"),
        SITE.replace("?", "."),
        SITE.replace(f"{WHEAT}\n\n{RYE}", "No."),
        "",
        "?\n" * 2000,
    ],
)
def test_what_the_text_does_not_show_is_left(text: str) -> None:
    assert find_exchanges(text, kind="forum") == []


@pytest.mark.parametrize("kind", ["shop", "listing"])
def test_pages_that_sell_are_left_out(kind: str) -> None:
    assert [find_exchanges(text, kind=kind) for text in (PAIRS, FAQ, SITE, THREAD)] == [[]] * 4


def test_a_dataset_becomes_a_file_for_sft_once_a_question(tmp_path: Path) -> None:
    rows = [*pages(20), row(900, PAIRS), row(901, SITE, title="Worn stones"), row(902, PAIRS), row(903, FAQ)]
    write_dataset(tmp_path / "set", rows)
    printed = run("make-conversations", tmp_path / "set", "--output", tmp_path / "qa.jsonl")
    assert "5 conversations (pairs 2, FAQ 2, answered 1) from 4 of 24 documents; 3 repeated" in printed
    lines = [json.loads(line) for line in (tmp_path / "qa.jsonl").read_text().splitlines()]
    assert [(line["id"], line["url"]) for line in lines] == [
        (rows[n]["id"], rows[n]["url"]) for n in (20, 20, 21, 23, 23)
    ]
    conversations = read_conversations([tmp_path / "qa.jsonl"])
    assert conversations[2].answer == f"{WHEAT}\n\n{RYE}"
    with pytest.raises(UserError, match="exists already"):
        run("make-conversations", tmp_path / "set", "--output", tmp_path / "qa.jsonl")
    write_dataset(tmp_path / "plain", pages(20))
    with pytest.raises(UserError, match="none of 20 documents is a page of questions"):
        run("make-conversations", tmp_path / "plain", "--output", tmp_path / "none.jsonl")
    kinds = SCHEMA.append(pa.field("kind", pa.string()))
    write_dataset(tmp_path / "forum", [row(904, THREAD) | {"kind": "forum"}], shards=1, schema=kinds)
    assert "thread 1" in run("make-conversations", tmp_path / "forum", "--output", tmp_path / "forum.jsonl")
