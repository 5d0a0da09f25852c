"""Names of elements become tokens, weights and groups."""

from __future__ import annotations

import pytest

from classifiers.extraction.names import GROUPS, NameWeights, name_tokens


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("postBody-2 #main", ["post", "body", "main"]),
        ("MuiGrid_root @navigation", ["mui", "grid", "root", "@navigation"]),
        ("FAQ x", ["faq"]),
        ("", []),
    ],
)
def test_names_are_split_into_words(name: str, tokens: list[str]) -> None:
    assert name_tokens(name) == tokens


def test_weights_of_tokens_add_up_and_groups_are_bits() -> None:
    names = NameWeights({"post": 10, "body": 3, "sidebar": -20})
    weights, groups = names.of(["post body", "sidebar", "", "unheard", "sidebar"])
    assert weights.tolist() == [13, -20, 0, 0, -20]
    numbers = {name: 1 << number for number, name in enumerate(GROUPS)}
    assert groups[0] == numbers["post"] | numbers["content"]
    assert groups[1] == groups[4] == numbers["sidebar"]
    assert groups[2] == groups[3] == 0


def test_what_was_asked_before_does_not_matter() -> None:
    fresh, used = NameWeights({"a": 1, "post": 2}), NameWeights({"a": 1, "post": 2})
    for number in range(60_000):
        used.of([f"name{number}"])
    assert used.of(["post"])[0].tolist() == fresh.of(["post"])[0].tolist()
