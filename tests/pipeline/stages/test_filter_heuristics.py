"""filter_heuristics: a page for every drop reason, good pages that are kept, lines that are removed or corrected."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.heuristics.rules import HeuristicReason
from pipeline.stages import filter_heuristics
from pipeline.stages.filter_heuristics import FAMILIES, SIGNALS, FilterHeuristicsSettings, correct
from tests.pipeline.heuristics.good_texts import (
    CHINESE,
    CODE,
    FORUM,
    GERMAN,
    GREEK,
    HEALTH,
    JAPANESE,
    OBJECTS,
    POEM,
    RECIPE,
    SUBJECTS,
    TABLE,
    THAI,
    VERBS,
    prose,
)

DEFAULT = FilterHeuristicsSettings()


def document(text: str, language: str = "en") -> Document:
    return Document("id", "http://a.org/", "2026-10-01T12:00:00Z", "a.warc", 0, "a.org", "a.org", "", text, language)


def run(text: str, language: str = "en", **settings: Any) -> Document | Dropped:
    return filter_heuristics.build(FilterHeuristicsSettings.model_validate(settings))(document(text, language))


def reason(text: str, language: str = "en", **settings: Any) -> HeuristicReason | None:
    result = run(text, language, **settings)
    if isinstance(result, Document):
        return None
    assert result.value is not None
    assert result.threshold is not None
    assert isinstance(result.record, Document)
    assert result.record.signals[result.detail] == result.value
    assert isinstance(result.reason, HeuristicReason)
    return result.reason


# All other rules are off, so that a page breaks only the rule under test.
def only(family: str, **limits: Any) -> dict[str, Any]:
    off = {
        name: {rule.setting: None for rule in rules if rule.setting != "max_lorem_ipsum"}
        for name, rules in FAMILIES.items()
    }
    off["c4"] |= {"min_words_per_line": None, "drop_lorem_ipsum": False}
    off["refinedweb"] |= {"correct": False}
    off[family] |= limits
    return off


REPEATED = "the miller of the town carried a sack of grain along that old road with others "
PAGES: dict[HeuristicReason, tuple[str, dict[str, Any]]] = {
    HeuristicReason.CORRECTED_TOO_MUCH: (
        prose(9) + "\n\n10 likes\n\nSHOUTED WORDS ARE HERE AGAIN AND AGAIN\n\nMENU\n\n1234",
        {},
    ),
    HeuristicReason.TOO_FEW_WORDS: (prose(2), {}),
    HeuristicReason.TOO_MANY_WORDS: (prose(30), only("gopher", max_words=300)),
    HeuristicReason.WORDS_TOO_SHORT: ("a be to of it. " * 40, only("gopher", min_mean_word_length=3)),
    HeuristicReason.WORDS_TOO_LONG: (
        "extraordinarily incomprehensible internationalization. " * 40,
        only("gopher", max_mean_word_length=10),
    ),
    HeuristicReason.TOO_MANY_HASHES: (prose(9).replace("the", "# the"), {}),
    HeuristicReason.TOO_MANY_ELLIPSES: (prose(9).replace("the", "... the"), {}),
    HeuristicReason.TOO_MANY_BULLETS: ("- " + prose(40).replace(". In", ".\n- In").replace("\n\n", "\n- "), {}),
    HeuristicReason.TOO_MANY_ELLIPSIS_LINES: (prose(30).replace(".\n", "...\n"), {}),
    HeuristicReason.TOO_FEW_ALPHABETIC_WORDS: (
        prose(9).replace(" the ", " 1 2 3 4 5 6 7 8 9 ").replace(" a ", " 1 2 3 "),
        {},
    ),
    HeuristicReason.TOO_FEW_STOP_WORDS: (
        "Great shoes sold here, cheap boots shipped fast, buy now. " * 20,
        only("gopher", min_stop_words=2),
    ),
    HeuristicReason.DUPLICATE_LINES: (
        "\n".join([*prose(6).split("\n\n"), *["The same line stands here again."] * 5]),
        only("gopher", max_duplicate_lines=0.3),
    ),
    HeuristicReason.DUPLICATE_LINE_CHARACTERS: (
        "\n".join([prose(9)] + [prose(3, 50)] * 3),
        only("gopher", max_duplicate_line_characters=0.2),
    ),
    HeuristicReason.DUPLICATE_PARAGRAPHS: (
        "\n\n".join([prose(9)] + ["One paragraph.\nIn two lines."] * 4),
        only("gopher", max_duplicate_paragraphs=0.3),
    ),
    HeuristicReason.DUPLICATE_PARAGRAPH_CHARACTERS: (
        "\n\n".join([prose(9)] + [prose(3, 50)] * 3),
        only("gopher", max_duplicate_paragraph_characters=0.2),
    ),
    HeuristicReason.TOP_2_GRAM: (prose(6) + " old mill" * 60 + ".", only("gopher", max_top_2_gram=0.2)),
    HeuristicReason.TOP_3_GRAM: (prose(6) + " old stone mill" * 60 + ".", only("gopher", max_top_3_gram=0.18)),
    HeuristicReason.TOP_4_GRAM: (prose(6) + " old stone water mill" * 60 + ".", only("gopher", max_top_4_gram=0.16)),
    **{
        HeuristicReason[f"DUPLICATE_{n}_GRAMS"]: (
            prose(9) + "\n\n" + REPEATED * 8 + ".",
            only("gopher", **{f"max_duplicate_{n}_grams": 0.15}),
        )
        for n in range(5, 11)
    },
    HeuristicReason.LOREM_IPSUM: (prose(9) + "\n\nLorem ipsum dolor sit amet, consectetur.", {}),
    HeuristicReason.CURLY_BRACKETS: (
        prose(9) + "\n\nvar page = {title: 'x', body: [1, 2]}; more of the text is here." * 2,
        {},
    ),
    HeuristicReason.TOO_FEW_SENTENCES: (prose(9).replace(".", ",").replace("\n\n", " "), only("c4", min_sentences=3)),
    HeuristicReason.TOO_MANY_CHARACTERS: (prose(30), {"c4": {"max_characters": 1000}}),
    HeuristicReason.TOO_FEW_PUNCTUATED_LINES: (prose(9).replace(".", ""), {}),
    HeuristicReason.REPEATED_LINE_CHARACTERS: (
        prose(30) + "\n\nSubscribe to our letter about mills and grain today." * 5,
        only("fineweb", max_repeated_line_characters=0.05),
    ),
    HeuristicReason.TOO_MANY_SHORT_LINES: (
        prose(9) + "\n\nSee what is here too." * 30,
        only("fineweb", max_short_lines=0.67),
    ),
    HeuristicReason.TOO_MANY_LINES: (
        "\n\n".join(f"Word {n}" for n in range(200)),
        only("fineweb", max_lines_per_word=0.3),
    ),
    HeuristicReason.UNUSUAL_WORDS: (
        " ".join(f"{a} {b} {c}," for a in SUBJECTS for b in VERBS for c in OBJECTS),
        only("distribution", max_divergence=0.3),
    ),
    HeuristicReason.HARMFUL_WORDS: (
        prose(9) + "\n\nHardcore porn, blowjob and milf cumshots, porno xxx gangbang for you here.",
        {},
    ),
}


@pytest.mark.parametrize("expected", list(HeuristicReason))
def test_every_reason_has_a_page(expected: HeuristicReason) -> None:
    text, settings = PAGES[expected]
    assert reason(text, **settings) is expected


@pytest.mark.parametrize("expected", [r for r in HeuristicReason if r is not HeuristicReason.LOREM_IPSUM])
def test_every_rule_can_be_switched_off(expected: HeuristicReason) -> None:
    text, settings = PAGES[expected]
    family, rule = next((f, r) for f, rules in FAMILIES.items() for r in rules if r.reason is expected)
    opened = {**settings, family: {**settings.get(family, {}), rule.setting: None}}
    assert reason(text, **opened) is not expected


def test_every_reason_belongs_to_a_rule_and_every_signal_is_declared() -> None:
    assert {rule.reason for rules in FAMILIES.values() for rule in rules} == set(HeuristicReason)
    assert {rule.signal for rules in FAMILIES.values() for rule in rules} <= set(SIGNALS)
    assert len(set(SIGNALS)) == len(SIGNALS)


def test_prose_passes_unchanged_with_its_measurements() -> None:
    result = run(prose(12))
    assert isinstance(result, Document)
    assert result.text == prose(12)
    assert set(result.signals) <= set(SIGNALS)
    assert result.signals["gopher_words"] == len(prose(12).split())
    assert result.signals["c4_sentences"] == 12


def test_a_dropped_page_has_all_measurements_too() -> None:
    kept, dropped = run(prose(12)), run(prose(12) + "\n\nLorem ipsum dolor sit amet, consectetur." * 2)
    assert isinstance(kept, Document)
    assert isinstance(dropped, Dropped)
    assert isinstance(dropped.record, Document)
    assert set(kept.signals) == set(dropped.record.signals)


# Good pages that rules made for English articles must keep.


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (prose(6) + "\n\n" + CODE, "en"),
        (prose(6) + "\n\n" + TABLE, "en"),
        (prose(6) + "\n\n$$\n\\frac{a}{b} = {c}\n$$\n\nWhere $x_{1}$ and `{}` stand for what was said above.", "en"),
        (RECIPE, "en"),
        (POEM, "en"),
        (FORUM, "en"),
        (GERMAN, "de"),
        (GREEK, "el"),
        (CHINESE, "zh"),
        (JAPANESE, "ja"),
        (THAI, "th"),
        (HEALTH, "en"),
        (prose(12), "xx"),
        (prose(12), ""),
    ],
    ids=lambda value: value if len(value) < 3 else value[:12],
)
def test_good_pages_are_kept_unchanged(text: str, language: str) -> None:
    result = run(text, language)
    assert isinstance(result, Document), (result.reason, result.value, result.threshold)
    assert result.text == text


@pytest.mark.parametrize(
    ("syllables", "end", "language"),
    [
        ("មនុស្ស ទាំង អស់ កើត មក មាន សេរី ភាព និង សម សេចក្ដី ថ្លៃ ថ្នូរ សិទ្ធិ", "។", "km"),
        ("လူ တိုင်း သည် တူ ညီ လွတ် လပ် သော ဂုဏ် သိက္ခာ ဖြင့် လည်း ကောင်း အခွင့်", "။", "my"),
        ("ມະ ນຸດ ທຸກ ຄົນ ເກີດ ມາ ມີ ກຽດ ສັກ ສີ ສິດ ທິ ເສ ລີ ພາບ ແລະ ຄວາມ", "", "lo"),
        ("འགྲོ་ བ་ མིའི་ རིགས་ རྒྱུད་ ཡོངས་ ལ་ སྐྱེས་ ཙམ་ ཉིད་ ནས་ ཆེ་ མཐོངས་ དང་", "།", "bo"),
    ],
)
def test_rules_for_words_do_not_apply_to_scripts_without_spaces(syllables: str, end: str, language: str) -> None:
    choose = random.Random(7)
    lines = ["".join(choose.choices(syllables.split(), k=50)) + end for _ in range(10)]
    result = run("\n\n".join(lines), language)
    assert isinstance(result, Document), (result.reason, result.value, result.threshold)


def test_rules_for_prose_do_not_apply_to_a_page_of_code() -> None:
    assert isinstance(run(CODE + "\n\n" + CODE.replace("x", "y")), Document)


# Line corrections.


@pytest.mark.parametrize(
    "line",
    [
        "Home",
        "12,345",
        "1.2K likes",
        "17 Kommentare",
        "READ ALL OUR LATEST NEWS",
        "Contact us today",
        "Please enable JavaScript in your browser to see this page.",
        "By using this site you agree to our privacy policy.",
        "x" * 1001 + " and four words more here",
    ],
)
def test_line_is_removed(line: str) -> None:
    text, _ = correct(f"{prose(6)}\n\n{line}\n\n{line} \n\nshort\n\n{prose(3, 20)}", "en", DEFAULT)
    assert line not in text.split("\n")
    assert prose(6) in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The mill was built long ago.[12] It stands.[citation needed]", "The mill was built long ago. It stands."),
        ("More about the mill and its wheel. Read more...", "More about the mill and its wheel."),
        ("We use JavaScript and Python to draw the map of mills.", None),
        ("A heading", None),
    ],
)
def test_line_is_corrected_or_kept(before: str, after: str | None) -> None:
    text, _ = correct(f"{before}\n\n{prose(6)}", "en", DEFAULT)
    assert text == f"{after or before}\n\n{prose(6)}"


def test_lines_without_end_punctuation_are_removed_if_set() -> None:
    text, _ = correct(
        f"{prose(3)}\n\nThis line has words but no end",
        "en",
        FilterHeuristicsSettings.model_validate({"c4": {"end_punctuation": True}}),
    )
    assert text == prose(3)


def test_corrected_share_counts_the_removed_words() -> None:
    _, signals = correct(f"{prose(3)}\n\n7 shares\n\n8 likes", "en", DEFAULT)
    assert signals["refinedweb_corrected"] == pytest.approx(4 / (len(prose(3).split()) + 4))


def test_code_keeps_its_blank_lines_when_lines_are_removed() -> None:
    code = "```\ndef f():\n    x = {}\n\n\n    return x\n```"
    text, _ = correct(f"Menu\n\nHome\n\n{prose(3)}\n\n{code}", "en", DEFAULT)
    assert text.endswith(code)


def test_a_missing_list_is_an_error_with_instructions(tmp_path: Any) -> None:
    with pytest.raises(UserError, match=r"word list .*everyday\.txt: no such file"):
        filter_heuristics.build(
            FilterHeuristicsSettings.model_validate({"harmful_words": {"everyday": tmp_path / "everyday.txt"}})
        )
    with pytest.raises(UserError, match=r"harmful_words\.lists: no <language>\.txt in .*; name another folder"):
        filter_heuristics.build(FilterHeuristicsSettings.model_validate({"harmful_words": {"lists": tmp_path}}))
    (tmp_path / "de.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"de\.txt: not UTF-8 .* one entry a line"):
        filter_heuristics.build(FilterHeuristicsSettings.model_validate({"harmful_words": {"lists": tmp_path}}))


def test_files_exist() -> None:
    assert all(path.is_file() for path in filter_heuristics.files(DEFAULT))


_LINES = st.sampled_from(
    [
        "",
        " ",
        "```",
        "$$",
        "| a | b |",
        "|",
        "- item",
        "•",
        "Home",
        "12",
        "5 likes",
        "AAAAAAAAAA BBBB",
        "{",
        "…",
        "[1]",
        "read more",
    ]
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(), st.lists(st.one_of(_LINES, st.text(max_size=40)), max_size=30).map("\n".join)),
    st.sampled_from(["en", "de", "zh", "th", "ko", "xx", ""]),
)
def test_any_text_has_a_result_and_shares_between_0_and_1(text: str, language: str) -> None:
    result = run(text, language)
    record = result.record if isinstance(result, Dropped) else result
    assert isinstance(record, Document)
    counts = {
        "gopher_words",
        "gopher_hash_ratio",
        "gopher_ellipsis_ratio",
        "gopher_stop_words",
        "fineweb_lines_per_word",
    }
    for name, value in record.signals.items():
        assert name in SIGNALS
        assert value >= 0
        if not (name in counts or name.startswith(("c4_", "harmful_", "gopher_mean"))) or name == "c4_curly_lines":
            assert value <= 1, name
    assert correct(record.text, language, DEFAULT)[0] is not None


CLAUSE = (
    "THE PLANS ARE PROVIDED AS THEY ARE, WITHOUT WARRANTY OF ANY KIND. IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY "
    "DAMAGE THAT COMES FROM THEIR USE."
)


@pytest.mark.parametrize(
    "line",
    [
        CLAUSE,
        "STOP USING THE KETTLE AT ONCE AND RETURN IT TO THE SHOP IN WHICH IT WAS BOUGHT.",
        "Log in as root and type the command.",
        "We should all read more.",
        "Children who read a lot want to read more",
        "Put the items in your basket and pay at the door.",
        "1, 1, 2, 3, 5, 8, 13, 21, 34",
        "The word lorem ipsum stands where a text is missing.",
        "A block begins with the sign { and ends with the sign }.",
    ],
)
def test_one_line_neither_goes_nor_drops_a_page(line: str) -> None:
    text = f"{prose(6)}\n\n{line}\n\n{prose(6, 20)}"
    kept = run(text)
    assert isinstance(kept, Document)
    assert kept.text == text


def test_a_heading_in_capitals_before_a_paragraph_is_kept() -> None:
    heading = "TERMS AND CONDITIONS OF THE MILL AND ITS SHOP"
    text = f"{prose(6)}\n\n{heading}\n\n{prose(6, 20)}"
    assert correct(text, "en", DEFAULT)[0] == text


@pytest.mark.parametrize(
    "line", ["BUY NOW FREE SHIPPING TODAY ONLY CALL NOW", "ORDER YOUR NEW SHOES HERE AND SAVE HALF OF THE PRICE!"]
)
def test_advertisements_in_capitals_go_and_the_page_stays(line: str) -> None:
    text = f"{prose(6)}\n\n{line}\n\n{prose(6, 20)}"
    kept = run(text)
    assert isinstance(kept, Document)
    assert line not in kept.text


def test_a_page_in_capitals_is_dropped() -> None:
    assert reason("\n\n".join([CLAUSE] * 4 + [prose(12).upper()])) is HeuristicReason.CORRECTED_TOO_MUCH


def test_a_page_with_one_short_notice_is_kept_without_it() -> None:
    for line in ("Sign in", "Read more »", "3 comments", "2 items in your cart", "SHARE THIS PAGE WITH EVERYBODY"):
        kept = run(f"{prose(8)}\n\n{line}")
        assert isinstance(kept, Document), line
        assert line not in kept.text
