"""Keys and sketches of documents, and the removal of lines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from classifiers.urls import normalize_url
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.sketch import SKETCH_FIELDS, remove_lines, sketch_columns, split_lines
from pipeline.documents import Document
from pipeline.text import tokenize

SETTINGS = DeduplicateSettings()
DOCUMENT = Document(
    id="0" * 32, url="http://example.org/a", fetched_at="2026-01-01T00:00:00Z", warc_file="x.warc.gz", warc_offset=0,
    host="example.org", registered_domain="example.org", title="", text="",
)  # fmt: skip
LONG = " ".join(f"word{i}" for i in range(60))


def columns(text: str, url: str = DOCUMENT.url, settings: DeduplicateSettings = SETTINGS) -> dict[str, bytes]:
    return sketch_columns(replace(DOCUMENT, text=text, url=url), settings)


def line_keys(text: str) -> list[int]:
    return np.frombuffer(columns(text)["paragraphs"], "<u8").tolist()


def test_columns_are_those_of_the_schema_and_of_the_documented_sizes():
    found = columns(f"one\n\n{LONG}")
    assert list(found) == [field.name for field in SKETCH_FIELDS]
    sizes = {name: len(value) for name, value in found.items()}
    assert sizes == {
        "url_key": 16,
        "text_key": 16,
        "bands": SETTINGS.bands * 8,
        "sketch": SETTINGS.bands * SETTINGS.rows,
        "paragraphs": 3 * 8,
        "paragraph_words": 3 * 2,
    }


def test_texts_that_differ_in_case_accents_punctuation_and_space_are_the_same_text():
    assert columns("Crème brûlée: a  RECIPE.")["text_key"] == columns("creme brulee\n\na recipe")["text_key"]
    assert columns("Crème brûlée 2")["text_key"] != columns("Crème brûlée 3")["text_key"]


def test_texts_without_words_are_not_all_one_text():
    assert columns("+++")["text_key"] != columns("---")["text_key"]


def test_urls_are_compared_in_their_normal_form_and_missing_ones_are_not_all_one_page():
    assert normalize_url("https://www.example.org/a/#x") == normalize_url("http://example.org/a")
    assert columns("x", "https://www.example.org/a/#x")["url_key"] == columns("y", "http://example.org/a")["url_key"]
    one, other = (sketch_columns(replace(DOCUMENT, url="", id=i * 32), SETTINGS)["url_key"] for i in "12")
    assert one != other


def test_texts_shorter_than_a_shingle_have_no_bands():
    assert columns("one two three four")["bands"] == b""
    assert columns("one two three four")["sketch"] == b""
    assert columns("one two three four five")["bands"] != b""


def test_chinese_texts_are_shingled_by_character():
    text = "北京大学是中国的一所综合性大学位于首都创办于一八九八年"
    shared = np.frombuffer(columns(text)["sketch"], "u1") == np.frombuffer(columns(text[2:])["sketch"], "u1")
    assert shared.mean() > 0.8
    other = columns("上海交通大学位于另一座城市并且历史也很悠久校园十分美丽宽阔")["sketch"]
    assert (np.frombuffer(columns(text)["sketch"], "u1") == np.frombuffer(other, "u1")).mean() < 0.1


def test_code_tables_and_blank_lines_have_no_key():
    text = "prose\n\n```python\nprint(1)\n\n```\nmore prose\n| a | b |\n  ```\ninside\n  ```\nend"
    prose = [bool(key) for key in line_keys(text)]
    assert prose == [True, False, False, False, False, False, True, False, False, False, False, True]
    assert [may for _, may in split_lines(text)] == [i in (0, 1, 6, 11) for i in range(12)]


def test_short_lines_ignore_numbers_and_sentences_do_not():
    assert line_keys("Page 3 of 12") == line_keys("page 4 of 999")
    assert line_keys("Office hours are from 11:30 to 12:30") != line_keys("Office hours are from 9:30 to 10:30")
    assert line_keys(LONG) == line_keys(LONG.upper() + "!")


def test_sketching_the_same_document_twice_gives_the_same_columns():
    assert columns(LONG) == columns(LONG)


@given(st.text(st.sampled_from("ab \n`|漢\u0301\ud800"), max_size=200))
@example("```")
@example("a\r\nb\x85c\u2028d")
def test_any_text_can_be_sketched_and_has_one_key_a_line(text):
    found = columns(text)
    assert len(found["paragraphs"]) // 8 == len(text.split("\n")) == len(found["paragraph_words"]) // 2
    words = np.frombuffer(found["paragraph_words"], "<u2")
    assert words.sum() == len(tokenize(text))


@given(st.text(st.sampled_from("ab \n"), max_size=60))
def test_removing_nothing_changes_nothing(text):
    assert remove_lines(text, []) == text


@given(st.text(st.sampled_from("ab \n"), max_size=60), st.data())
def test_removal_keeps_every_other_line_in_order_and_adds_no_blank_runs(text, data):
    lines = text.split("\n")
    prose = [i for i, line in enumerate(lines) if line.strip()]
    removed = data.draw(st.sets(st.sampled_from(prose))) if prose else set()
    left = remove_lines(text, removed).split("\n")
    assert [line for line in left if line.strip()] == [lines[i] for i in prose if i not in removed]

    def longest_gap(some):
        return max(len(gap) for gap in "".join("x" if line.strip() else " " for line in some).split("x"))

    assert longest_gap(left) <= max(longest_gap(lines), 1)


@pytest.mark.parametrize(
    ("text", "removed", "expected"),
    [
        ("a\n\nb\n\nc", [2], "a\n\nc"),
        ("a\n\nb\n\nc", [0], "b\n\nc"),
        ("a\n\nb\n\nc", [4], "a\n\nb"),
        ("a\n\nb\n\nc", [0, 2, 4], ""),
        ("a\nb\nc", [1], "a\nc"),
        ("- x\n- y\n\nend", [0, 1], "end"),
        ("a\n\n\n\nb\n\nc", [6], "a\n\n\n\nb"),
    ],
)
def test_removal(text, removed, expected):
    assert remove_lines(text, removed) == expected
