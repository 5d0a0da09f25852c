"""The benchmark of language identification: which texts it makes of a declaration, and how it counts answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers.language import load_language_model
from tests.benchmarks.languages import (
    Shares,
    cut,
    measure,
    read_declarations,
    romanize_cyrillic,
    romanize_devanagari,
    romanize_greek,
)


def test_declarations_are_read_by_language_in_latin_letters_first(tmp_path: Path) -> None:
    for name, iso, text in (("srp_cyrl", "srp", "Сва људска бића"), ("srp_latn", "srp", "Sva ljudska bića"),
                            ("068", "fra", "Tortot lè djan"), ("fra", "fra", "Tous les êtres humains")):  # fmt: skip
        page = f'<!doctype html>\n<html data-iso6393="{iso}"><body><h1>title</h1><p>{text}\n  .</p></body></html>'
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    assert read_declarations(tmp_path) == {"fr": ["Tous les êtres humains ."], "sr": ["Sva ljudska bića ."]}


def test_texts_have_the_length_and_join_short_paragraphs() -> None:
    assert cut(["abcdefgh", "ij", "klm", "no"], 5) == ["abcde", "ij kl"]


def test_exact_group_and_kept_are_counted_apart() -> None:
    """Danish that is labeled as Danish counts for Norwegian in the group alone."""
    danish = "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft."
    model = load_language_model()
    assert measure(model, "da", [danish]) == Shares(1, 1, 1, 0)
    assert measure(model, "no", [danish]) == Shares(0, 1, 1, 0)
    assert measure(model, "fi", [danish, danish]) == Shares(0, 0, 0, 1)
    assert Shares.mean([Shares(1, 1, 1, 0), Shares(0, 1, 0, 0)]) == Shares(0.5, 1, 0.5, 0)


@pytest.mark.parametrize(
    ("romanize", "text", "typed"),
    [
        (romanize_cyrillic, "Все люди рождаются свободными", "vse lyudi rozhdayutsya svobodnymi"),
        (romanize_greek, "Όλοι οι άνθρωποι", "oloi oi anthropoi"),
        (romanize_devanagari, "सभी मनुष्यों को अधिकार", "sabhee manushyon ko adhikaar"),
    ],
)
def test_romanized_text_is_typed_as_people_do(romanize, text, typed) -> None:  # type: ignore[no-untyped-def]
    assert romanize(text) == typed
