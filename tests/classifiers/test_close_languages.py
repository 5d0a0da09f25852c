"""Close languages: who shares the probability, and which label is chosen."""

from hypothesis import given
from hypothesis import strategies as st

from classifiers.close_languages import GROUPS, choose_language, close_to
from classifiers.language import count_capitals_and_letters, load_language_model, lower_capitals


def test_every_code_is_a_label_of_the_shipped_model() -> None:
    assert {code for group in GROUPS for code in group.split()} <= set(load_language_model().labels)


def test_closeness_goes_both_ways_and_includes_the_language_itself() -> None:
    for code in load_language_model().labels:
        assert code in close_to(code)
        assert all(code in close_to(other) for other in close_to(code))
    assert {"mk"} == close_to("sr") & close_to("bg")
    assert close_to("en") == {"en", "sco"}


def test_only_close_languages_share_the_score() -> None:
    assert choose_language({}) == ("", 0.0)
    assert choose_language({"hr": 0.4, "en": 0.3, "sr": 0.2}) == ("hr", 0.6)
    assert choose_language({"en": 0.5, "de": 0.5}) == ("en", 0.5)
    assert choose_language({"cs": 0.6, "sk": 0.41}) == ("cs", 1.0)  # probabilities of a quantized model exceed 1


def test_a_wanted_language_is_chosen_if_it_is_close_and_half_as_probable() -> None:
    votes = {"da": 0.5, "no": 0.25, "sv": 0.2, "en": 0.05}
    assert choose_language(votes, ["no"]) == ("no", 0.95)
    assert choose_language(votes, ["no", "da"]) == ("da", 0.95)
    assert choose_language(votes, ["sv"]) == ("da", 0.95)
    assert choose_language({"en": 0.5, "de": 0.45}, ["de"]) == ("en", 0.5)


@given(st.text())
def test_capitals_and_letters_are_counted_as_unicode_has_them(text: str) -> None:
    assert count_capitals_and_letters(text) == (sum(map(str.isupper, text)), sum(map(str.isalpha, text)))


def test_capitals() -> None:
    assert lower_capitals("ÜBER DIE MÜHLE") == "über die mühle"
    assert lower_capitals("The mill of NASA is old and it has many wheels.").startswith("The mill of NASA")
    assert lower_capitals("") == ""
    assert lower_capitals("水车") == "水车"
