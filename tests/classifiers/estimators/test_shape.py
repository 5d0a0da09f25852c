"""The shape of a text, on texts whose shares can be counted by hand."""

import pytest

from classifiers.estimators.features import SHAPE, shape


def shares(text: str) -> dict[str, float]:
    return dict(zip(SHAPE, shape(text), strict=True))


def test_an_empty_text_has_no_shape() -> None:
    assert shape("") == shape(" \n\n ") == (0.0,) * len(SHAPE)


def test_cut_and_short_lines_are_counted_in_lines_with_text() -> None:
    text = "A teaser that says half of what…\n\nAnother one that breaks off...\n" + "A whole sentence. " * 3 + "\nEnd"
    assert shares(text)["cut_line_share"] == 0.5
    assert shares(text)["short_line_share"] == 0.75


def test_code_counts_characters_between_fences() -> None:
    text = "Ten chars.\n```python\na = 1\nb = 2\n```\nTen chars."
    fences = len("```python") + len("```")
    assert shares(text)["code_share"] == pytest.approx(10 / (20 + 10 + fences))


def test_repeated_phrases_are_those_after_the_first() -> None:
    assert shares("one two three four five six")["repeated_phrase_share"] == 0
    assert shares("one two three " * 4)["repeated_phrase_share"] == pytest.approx(1 - 3 / 10)
    assert shares("Buy it now, BUY it now, buy IT now,")["repeated_phrase_share"] == pytest.approx(1 - 3 / 7)
