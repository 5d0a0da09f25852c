"""tag_domain: labels and harm scores are stored; unwanted domains and harmful texts are dropped."""

from __future__ import annotations

import pytest

from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.stages.tag_domain import TagDomainReason, TagDomainSettings, build

RECIPE = Document(
    "0" * 32, "https://kitchen.example/soup", "t", "f", 0, "h", "h", "Onion soup recipe",
    "Chop the onions and fry them slowly in butter. Add the stock, salt and pepper, then simmer for twenty minutes. "
    "Serve with grated cheese and toasted bread. This soup recipe feeds four people and tastes even better tomorrow. "
    "Ingredients: onions, butter, flour, beef stock, white wine, thyme, bay leaf, cheese, bread.",
)  # fmt: skip


def test_label_and_confidence_are_stored():
    tagged = build(TagDomainSettings())(RECIPE)
    assert isinstance(tagged, Document)
    assert tagged.domain == "food_and_dining"
    assert 0 < tagged.domain_score <= 1
    assert tagged.kind == "recipe"
    assert 0 <= tagged.signals["harm_score"] < 0.5


def test_a_domain_that_is_not_wanted_is_a_drop():
    dropped = build(TagDomainSettings(drop=frozenset({"food_and_dining"})))(RECIPE)
    assert isinstance(dropped, Dropped)
    assert (dropped.stage, dropped.reason, dropped.detail) == (
        "tag_domain",
        TagDomainReason.DOMAIN_NOT_WANTED,
        "food_and_dining",
    )


def test_harm_is_a_measurement_unless_a_limit_is_set():
    dropped = build(TagDomainSettings(max_harm=0.0))(RECIPE)
    assert isinstance(dropped, Dropped)
    assert (dropped.stage, dropped.reason, dropped.threshold) == ("tag_domain", TagDomainReason.HARMFUL_TEXT, 0.0)


def test_a_label_that_the_model_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"no such domain \['Fod'\]"):
        build(TagDomainSettings(drop=frozenset({"Fod"})))
