"""Listed words are found as whole words, phrases included."""

from __future__ import annotations

from pipeline.heuristics.harmful_words import HarmfulWordsSettings, load_matcher
from pipeline.heuristics.text_parts import split_text


def test_harmful_words_and_phrases_are_counted_as_words() -> None:
    matcher = load_matcher(HarmfulWordsSettings(), "en")
    assert matcher is not None
    hits = matcher.find(split_text("Cocktail of porn? Blow job, PORN! and classic analysis", "en"))
    assert sorted(hits) == ["blow job", "porn", "porn"]
