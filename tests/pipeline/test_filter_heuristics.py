"""filter_heuristics: every reason by a page that earns it, measurements against plain counts, good pages that stay."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.documents import Document, Dropped
from pipeline.heuristics import c4, distribution, gopher, harmful_words
from pipeline.heuristics.rules import Reason
from pipeline.heuristics.words import Form, parts
from pipeline.stages import filter_heuristics
from pipeline.stages.filter_heuristics import FAMILIES, SIGNALS, Settings, correct, measure

DEFAULT = Settings()
SUBJECTS = "miller river wheel baker farmer horse winter village harvest teacher market bridge".split()  # noqa: SIM905
VERBS = "carried watched followed crossed remembered painted measured repaired described opened".split()  # noqa: SIM905
OBJECTS = "stone sack road door letter wall field boat map".split()  # noqa: SIM905
FRAMES = (
    "In {year} the {subject} {verb} that {item} with {n} others.",
    "Nobody saw how {n} people {verb} a {item} before the {subject} came along.",
    "After {n} years some {subject} {verb} another {item}, or so they say.",
    "My {subject} has {verb} every {item} since, though {n} of them were lost.",
    "Why was no {item} {verb} by a {subject}, if {n} asked for it?",
)


def prose(sentences: int, start: int = 0) -> str:
    """Different English sentences, three to a paragraph."""
    lines = [
        FRAMES[n % 5].format(
            year=1700 + n, subject=SUBJECTS[n % 12], verb=VERBS[(n * 3 + n // 10) % 10], item=OBJECTS[n % 9], n=n + 2
        )
        for n in range(start, start + sentences)
    ]
    return "\n\n".join(" ".join(lines[i : i + 3]) for i in range(0, len(lines), 3))


def document(text: str, language: str = "en") -> Document:
    return Document("id", "http://a.org/", "2026-10-01T12:00:00Z", "a.warc", 0, "a.org", "a.org", "", text, language)


def run(text: str, language: str = "en", **settings: Any) -> Document | Dropped:
    return filter_heuristics.build(Settings.model_validate(settings))(document(text, language))


def reason(text: str, language: str = "en", **settings: Any) -> Reason | None:
    result = run(text, language, **settings)
    if isinstance(result, Document):
        return None
    assert result.value is not None
    assert result.threshold is not None
    assert isinstance(result.record, Document)
    assert result.record.signals[result.detail] == result.value
    assert isinstance(result.reason, Reason)
    return result.reason


# Only the rule under test, so that a page needs to break no other.
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
PAGES: dict[Reason, tuple[str, dict[str, Any]]] = {
    Reason.CORRECTED_TOO_MUCH: (
        prose(9) + "\n\n10 likes\n\nSHOUTED WORDS ARE HERE AGAIN AND AGAIN\n\nMENU\n\n1234",
        {},
    ),
    Reason.TOO_FEW_WORDS: (prose(2), {}),
    Reason.TOO_MANY_WORDS: (prose(30), only("gopher", max_words=300)),
    Reason.WORDS_TOO_SHORT: ("a be to of it. " * 40, only("gopher", min_mean_word_length=3)),
    Reason.WORDS_TOO_LONG: (
        "extraordinarily incomprehensible internationalisation. " * 40,
        only("gopher", max_mean_word_length=10),
    ),
    Reason.TOO_MANY_HASHES: (prose(9).replace("the", "# the"), {}),
    Reason.TOO_MANY_ELLIPSES: (prose(9).replace("the", "... the"), {}),
    Reason.TOO_MANY_BULLETS: ("- " + prose(40).replace(". In", ".\n- In").replace("\n\n", "\n- "), {}),
    Reason.TOO_MANY_ELLIPSIS_LINES: (prose(30).replace(".\n", "...\n"), {}),
    Reason.TOO_FEW_ALPHABETIC_WORDS: (prose(9).replace(" the ", " 1 2 3 4 5 6 7 8 9 ").replace(" a ", " 1 2 3 "), {}),
    Reason.TOO_FEW_STOP_WORDS: (
        "Great shoes sold here, cheap boots shipped fast, buy now. " * 20,
        only("gopher", min_stop_words=2),
    ),
    Reason.DUPLICATE_LINES: (
        "\n".join([*prose(6).split("\n\n"), *["The same line stands here again."] * 5]),
        only("gopher", max_duplicate_lines=0.3),
    ),
    Reason.DUPLICATE_LINE_CHARACTERS: (
        "\n".join([prose(9)] + [prose(3, 50)] * 3),
        only("gopher", max_duplicate_line_characters=0.2),
    ),
    Reason.DUPLICATE_PARAGRAPHS: (
        "\n\n".join([prose(9)] + ["One paragraph.\nIn two lines."] * 4),
        only("gopher", max_duplicate_paragraphs=0.3),
    ),
    Reason.DUPLICATE_PARAGRAPH_CHARACTERS: (
        "\n\n".join([prose(9)] + [prose(3, 50)] * 3),
        only("gopher", max_duplicate_paragraph_characters=0.2),
    ),
    Reason.TOP_2_GRAM: (prose(6) + " old mill" * 60 + ".", only("gopher", max_top_2_gram=0.2)),
    Reason.TOP_3_GRAM: (prose(6) + " old stone mill" * 60 + ".", only("gopher", max_top_3_gram=0.18)),
    Reason.TOP_4_GRAM: (prose(6) + " old stone water mill" * 60 + ".", only("gopher", max_top_4_gram=0.16)),
    **{
        Reason[f"DUPLICATE_{n}_GRAMS"]: (
            prose(9) + "\n\n" + REPEATED * 8 + ".",
            only("gopher", **{f"max_duplicate_{n}_grams": 0.15}),
        )
        for n in range(5, 11)
    },
    Reason.LOREM_IPSUM: (prose(9) + "\n\nLorem ipsum dolor sit amet, consectetur.", {}),
    Reason.CURLY_BRACKETS: (prose(9) + "\n\nvar page = {title: 'x', body: [1, 2]}; more of that here.", {}),
    Reason.TOO_FEW_SENTENCES: (prose(9).replace(".", ",").replace("\n\n", " "), only("c4", min_sentences=3)),
    Reason.TOO_MANY_CHARACTERS: (prose(30), {"c4": {"max_characters": 1000}}),
    Reason.TOO_FEW_PUNCTUATED_LINES: (prose(9).replace(".", ""), {}),
    Reason.REPEATED_LINE_CHARACTERS: (
        prose(30) + "\n\nSubscribe to our letter about mills and grain today." * 5,
        only("fineweb", max_repeated_line_characters=0.05),
    ),
    Reason.TOO_MANY_SHORT_LINES: (prose(9) + "\n\nSee what is here too." * 30, only("fineweb", max_short_lines=0.67)),
    Reason.TOO_MANY_LINES: ("\n\n".join(f"Word {n}" for n in range(200)), only("fineweb", max_lines_per_word=0.3)),
    Reason.UNUSUAL_WORDS: (
        " ".join(f"{a} {b} {c}," for a in SUBJECTS for b in VERBS for c in OBJECTS),
        only("distribution", max_divergence=0.3),
    ),
    Reason.HARMFUL_WORDS: (
        prose(9) + "\n\nHardcore porn, blowjob and milf cumshots, porno xxx gangbang for you here.",
        {},
    ),
}


@pytest.mark.parametrize("expected", list(Reason))
def test_every_reason_has_a_page(expected: Reason) -> None:
    text, settings = PAGES[expected]
    assert reason(text, **settings) is expected


@pytest.mark.parametrize("expected", [r for r in Reason if r is not Reason.LOREM_IPSUM])
def test_every_rule_can_be_let_through(expected: Reason) -> None:
    text, settings = PAGES[expected]
    family, rule = next((f, r) for f, rules in FAMILIES.items() for r in rules if r.reason is expected)
    opened = {**settings, family: {**settings.get(family, {}), rule.setting: None}}
    assert reason(text, **opened) is not expected


def test_every_reason_belongs_to_a_rule_and_every_signal_is_declared() -> None:
    assert {rule.reason for rules in FAMILIES.values() for rule in rules} == set(Reason)
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
    kept, dropped = run(prose(12)), run(prose(12) + "\n\nLorem ipsum dolor sit amet, consectetur.")
    assert isinstance(kept, Document)
    assert isinstance(dropped, Dropped)
    assert isinstance(dropped.record, Document)
    assert set(kept.signals) == set(dropped.record.signals)


# Good pages that rules made for English articles must not take.

CODE = "```\n" + "\n".join(f"if (x[{n}]) {{ return {n}; }}" for n in range(40)) + "\n```"
TABLE = "\n".join(["| year | tons |", "|---|---|", *(f"| {1900 + n} | {n * 7} |" for n in range(60))])
RECIPE = """Bread of the village

Ingredients

- 500 g flour
- 2 eggs
- 1 pinch of salt
- 20 g butter
- 1 cup of milk

Heat the oven to 200 degrees and butter a tin for the bread. Mix the flour with the salt and the eggs, then add milk
until the dough no longer sticks to the bowl.

Leave it to rest for an hour in a warm place. Bake it until the crust is brown and it sounds hollow to a knock."""
POEM = """The wheel turns round
and the grain is ground,
the miller sleeps
and the river keeps

its slow old song
the whole night long,
with stone on stone
till dawn, alone.

And when the day
comes up the way
the flour lies white
as the end of night,

a gift of the mill
that is never still."""
FORUM = """anna wrote:

Does anybody know how to stop the wheel of an old mill from squeaking? I have tried oil and it did not help at all.

ben wrote:

You have to take it off and clean the bearing first. With the dirt in it, oil makes it worse.

anna wrote:

Thank you, that was it! The bearing was full of sand. Now it runs like new and we can sleep again."""
GERMAN = """Die Mühle am Fluss

Die alte Mühle steht seit dem Jahr 1723 am Ufer des kleinen Flusses, und noch heute dreht sich das große
Wasserrad, wenn die Schleuse geöffnet wird. Der Müller ist schon lange nicht mehr da, aber die Nachbarn haben
einen Verein gegründet, der sich um das Gebäude und die Maschinen kümmert.

An jedem Sonntag im Sommer kann man zusehen, wie aus dem Korn das Mehl wird. Die Besucher dürfen selbst einen
Sack füllen und mit nach Hause nehmen."""
GREEK = """\
Ο παλιός μύλος στέκεται δίπλα στο ποτάμι από το 1723 και ακόμα και σήμερα ο μεγάλος τροχός γυρίζει όταν ανοίγουν
το νερό. Ο μυλωνάς δεν ζει πια εδώ, αλλά οι γείτονες έχουν κάνει έναν σύλλογο που φροντίζει για το κτίριο και
τις μηχανές.

Κάθε Κυριακή το καλοκαίρι μπορεί κανείς να δει πώς το σιτάρι γίνεται αλεύρι. Οι επισκέπτες μπορούν να γεμίσουν
μόνοι τους ένα σακί και να το πάρουν μαζί τους στο σπίτι, για να φτιάξουν ψωμί."""
CHINESE = (
    "河边的老磨坊从一七二三年就立在那里，直到今天，只要打开水闸，大木轮还会转动起来。"
    "磨坊主人早已不在了，但是邻居们成立了一个协会，照看房子和机器。\n\n"
    "夏天的每个星期日，人们可以来看麦子怎样变成面粉。"
    "参观的人可以自己装满一个小袋子，带回家去做面包。"
    "孩子们最喜欢的是站在桥上看水从轮子上落下来。\n\n"
    "协会的会长说，修理屋顶还需要很多钱，所以他们希望更多的人来帮忙。"
    "去年冬天的大雪压坏了一面墙，现在已经修好了。"
)
JAPANESE = (
    "川のそばの古い水車小屋は一七二三年からそこに立っていて、今でも水門を開けると大きな車が回り始めます。"
    "粉屋はもういませんが、近所の人たちが会を作って、建物と機械の世話をしています。\n\n"
    "夏の日曜日には、麦が粉になる様子を見ることができます。"
    "訪れた人は自分で小さな袋をいっぱいにして、家に持って帰ることができます。"
    "子どもたちは橋の上から水が落ちるのを見るのが好きです。"
)
THAI = (
    "โรงสีเก่าริมแม่น้ำตั้งอยู่ที่นั่นมานานแล้ว และวันนี้ล้อไม้ใหญ่ก็ยังหมุนเมื่อเปิดประตูน้ำ "
    "เจ้าของโรงสีไม่อยู่แล้ว แต่เพื่อนบ้านช่วยกันดูแลอาคารและเครื่องจักร "
    "ทุกวันอาทิตย์ในฤดูร้อนผู้คนมาดูว่าข้าวกลายเป็นแป้งได้อย่างไร "
    "แขกเติมถุงเล็กด้วยตัวเองแล้วนำกลับบ้านไปทำขนมปัง เด็กๆชอบยืนบนสะพานดูน้ำตกลงมาจากล้อ"
)
HEALTH = (
    prose(9)
    + "\n\nThe clinic explains sexual health: sex, the penis, the vagina, the anus, orgasm, and what rape does to us."
)


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
def test_good_pages_stay_whole(text: str, language: str) -> None:
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
def test_pages_without_spaces_are_not_judged_by_rules_for_words(syllables: str, end: str, language: str) -> None:
    choose = random.Random(7)
    lines = ["".join(choose.choices(syllables.split(), k=50)) + end for _ in range(10)]
    result = run("\n\n".join(lines), language)
    assert isinstance(result, Document), (result.reason, result.value, result.threshold)


def test_a_page_of_code_alone_is_not_asked_for_prose() -> None:
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
def test_line_goes(line: str) -> None:
    text, _ = correct(f"{prose(6)}\n\n{line}\n\n{line} \n\nshort\n\n{prose(3, 20)}", "en", DEFAULT)
    assert line not in text.split("\n")
    assert prose(6) in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("The mill was built long ago.[12] It stands.[citation needed]", "The mill was built long ago. It stands."),
        ("More about the mill and its wheel. Read more...", "More about the mill and its wheel"),
        ("We use JavaScript and Python to draw the map of mills.", None),
        ("A heading", None),
    ],
)
def test_line_is_mended_or_stays(before: str, after: str | None) -> None:
    text, _ = correct(f"{before}\n\n{prose(6)}", "en", DEFAULT)
    assert text == f"{after or before}\n\n{prose(6)}"


def test_only_lines_with_end_punctuation_when_asked() -> None:
    text, _ = correct(
        f"{prose(3)}\n\nThis line has words but no end",
        "en",
        Settings.model_validate({"c4": {"end_punctuation": True}}),
    )
    assert text == prose(3)


def test_corrected_share_counts_the_words_that_went() -> None:
    _, signals = correct(f"{prose(3)}\n\n7 shares\n\n8 likes", "en", DEFAULT)
    assert signals["refinedweb_corrected"] == pytest.approx(4 / (len(prose(3).split()) + 4))


def test_code_keeps_its_blank_lines_when_lines_go() -> None:
    code = "```\ndef f():\n    x = {}\n\n\n    return x\n```"
    text, _ = correct(f"Menu\n\nHome\n\n{prose(3)}\n\n{code}", "en", DEFAULT)
    assert text.endswith(code)


def test_forms_of_lines() -> None:
    page = parts("a b\n\n- item\n\n| x | y |\n\n```\ncode\n```\n\n$$\nx\n$$\n\n$$y$$\n\nend", "en")
    code, formula = [Form.CODE] * 3, [Form.FORMULA] * 4
    assert page.forms == [Form.PROSE, Form.LIST_ITEM, Form.TABLE, *code, *formula, Form.PROSE]
    assert parts("```\nnever closed", "en").forms == [Form.PROSE, Form.PROSE]
    assert parts("| " + "word " * 20 + "|", "en").forms == [Form.PROSE]  # a table that lays out a page


# Measurements against plain counts.


def brute_force_ngrams(words: list[str]) -> dict[str, float]:
    """By definition, with sets of tuples and a covered flag for every word."""
    total = sum(map(len, words))
    shares = {}
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        covered: set[int] = set()
        if n < 5:
            most = max(counts.values(), default=0)
            if most > 1:
                candidates = [gram for gram, count in counts.items() if count == most]
                best = max(candidates, key=lambda gram: sum(map(len, gram)))  # the first of the longest
                covered = {i + k for i, gram in enumerate(grams) if gram == best for k in range(n)}
        else:
            covered = {i + k for i, gram in enumerate(grams) if gram in grams[:i] for k in range(n)}
        name = f"gopher_top_{n}_gram" if n < 5 else f"gopher_duplicate_{n}_grams"
        shares[name] = sum(len(words[i]) for i in covered) / total if total else 0.0
    return shares


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "dd"]), max_size=60))
def test_ngram_shares_are_those_of_the_definition(words: list[str]) -> None:
    assert gopher.ngram_shares(words) == pytest.approx(brute_force_ngrams(words))


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["One line.", "Another line.", "A third and longer line."]), min_size=1, max_size=20))
def test_duplicate_shares_are_those_of_the_definition(lines: list[str]) -> None:
    signals = measure("\n\n".join(lines), "en", DEFAULT)
    again = [line for i, line in enumerate(lines) if line in lines[:i]]
    for what in ("line", "paragraph"):
        assert signals[f"gopher_duplicate_{what}s"] == pytest.approx(len(again) / len(lines))
        assert signals[f"gopher_duplicate_{what}_characters"] == pytest.approx(
            sum(map(len, again)) / sum(map(len, lines))
        )


def test_quality_measurements_by_hand() -> None:
    text = "- The # mill... of 1723\n\nand to – that have with be\n\n" + "word " * 50
    signals = measure(text, "en", DEFAULT)
    words = 5 - 1 + 6 + 50  # "#" and the dash are signs
    assert signals["gopher_words"] == words
    assert signals["gopher_hash_ratio"] == pytest.approx(1 / words)
    assert signals["gopher_ellipsis_ratio"] == pytest.approx(1 / words)
    assert signals["gopher_alphabetic_words"] == pytest.approx((words - 1) / (words + 2))
    assert signals["gopher_stop_words"] == 8
    assert signals["gopher_bullet_lines"] == pytest.approx(1 / 3)


def test_chinese_is_counted_by_characters() -> None:
    signals = measure(CHINESE, "zh", DEFAULT)
    characters = sum(c.isalnum() for c in CHINESE)
    assert signals["gopher_words"] == characters / 2
    assert "gopher_stop_words" not in signals
    assert "gopher_mean_word_length" not in signals


def test_sentences() -> None:
    assert c4.sentences(["One. Two! Three?", 'He said "four." Five', "3.14 is no end."]) == 6
    assert c4.sentences(["这是一。这是二！", "没有标点"]) == 3


@pytest.mark.parametrize(
    ("line", "is_curly"),
    [
        ("var page = {title: 'x'};", True),
        ('$(window).load(function(){ $("#menu").slicknav(); });', True),
        ("$('a').on('click',function(){$('b').hide()});", True),
        ("jQuery(document).ready(function($){ $('.x').show(); });", True),
        ("Pay $5 and {name} gets $10 back.", True),
        ("Let $x_{1}$ and $\\frac{a}{b}$ be given, and $$\\sum_{i} x_{i}$$ their sum.", False),
        ("At $5 a piece, $x_{1}$ of them cost much.", False),
        ("Write `f{x}` for the braces.", False),
        ("Write to <EMAIL_1> for $5.", False),
    ],
)
def test_scripts_that_leaked_are_curly_and_formulas_are_not(line: str, is_curly: bool) -> None:
    assert c4.measure(parts(line, "en"))["c4_curly_lines"] == float(is_curly)


def test_divergence_is_jensen_shannon() -> None:
    table = {"a": 0.5, "b": 0.25}  # a quarter for all other words
    assert distribution.divergence({"a": 2, "b": 1, "x": 1}, table) == pytest.approx(0)
    p, q = [0.0, 0.5, 0.5], [0.5, 0.25, 0.25]
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    expected = sum(x * math.log2(x / m) for x, m in zip(p, middle, strict=True) if x) / 2
    expected += sum(y * math.log2(y / m) for y, m in zip(q, middle, strict=True)) / 2
    assert distribution.divergence({"b": 1, "x": 1}, table) == pytest.approx(expected)
    assert distribution.divergence({"x": 1}, {"a": 1.0}) == pytest.approx(1)


def test_reference_tables_are_shares_in_order() -> None:
    tables = sorted(distribution.REFERENCES.glob("*.txt"))
    assert len(tables) > 35
    for path in tables:
        table = distribution.reference(path.stem)
        assert table is not None
        shares = list(table.values())
        assert shares == sorted(shares, reverse=True)
        assert 0.1 < sum(shares) < 1, path
    assert distribution.reference("../secret") is None


def test_stop_words() -> None:
    assert gopher.stop_words("en") == gopher.ENGLISH_STOP_WORDS
    assert {"und", "der", "die"} <= gopher.stop_words("de")
    assert len(gopher.stop_words("fi")) >= 8
    assert gopher.stop_words("xx") == frozenset()


def test_harmful_words_and_phrases_are_counted_as_words() -> None:
    words = harmful_words.words_of(harmful_words.Settings(), "en")
    assert words is not None
    hits = words.found(parts("Cocktail of porn? Blow job, PORN! and classic analysis", "en"))
    assert sorted(hits) == ["blow job", "porn", "porn"]


def test_a_missing_list_says_what_to_do(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=r"everyday\.txt cannot be read .* give a UTF-8 file"):
        filter_heuristics.build(Settings.model_validate({"harmful_words": {"everyday": tmp_path / "everyday.txt"}}))
    with pytest.raises(ValueError, match=r"harmful_words\.lists: no <language>\.txt in .*; name another folder"):
        filter_heuristics.build(Settings.model_validate({"harmful_words": {"lists": tmp_path}}))
    (tmp_path / "de.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"de\.txt cannot be read"):
        filter_heuristics.build(Settings.model_validate({"harmful_words": {"lists": tmp_path}}))


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
def test_any_text_gets_an_answer_and_shares_are_shares(text: str, language: str) -> None:
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
