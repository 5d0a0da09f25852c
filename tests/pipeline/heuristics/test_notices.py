"""Notices go, and sentences about their subjects stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.heuristics import notices
from pipeline.heuristics.distribution import load_reference
from pipeline.stages.filter_heuristics import FilterHeuristicsSettings, correct
from tests.pipeline.heuristics.good_texts import prose

SCRIPT_NOTICES = [
    "Please enable JavaScript to view this page.",
    "JavaScript is disabled in your browser.",
    "JavaScript must be enabled in order to use this site.",
    "This site requires JavaScript to work properly.",
    "You need to enable JavaScript to run this app.",
    "Your browser does not support JavaScript!",
    "Sorry, you need to turn on JavaScript to post comments.",
    "It appears that JavaScript is turned off in your web browser.",
    "For full functionality of this site it is necessary to enable JavaScript.",
    "Bitte aktivieren Sie JavaScript in Ihrem Browser.",
    "Veuillez activer JavaScript pour afficher cette page.",
    "Por favor, active JavaScript en su navegador.",
    "We're sorry but the shop doesn't work properly without JavaScript enabled.",
    "Please enable JavaScript to view the comments powered by Disqus.",
    "To view this video please enable JavaScript, and consider upgrading to a web browser that supports HTML5 video",
]
ABOUT_SCRIPTS = [
    "JavaScript was first supported by Netscape in 1995.",
    "The library adds support for dates in JavaScript and TypeScript.",
    "In JavaScript, a variable is declared with the word let.",
    "Node runs JavaScript on a server.",
    "A linter reports what the JavaScript standard forbids.",
    "She teaches JavaScript on Thursdays.",
    "Please enable JavaScript before the first lesson, and the wheel on the left begins to drive both stones.",
    "Please enable JavaScript in your browser. Then type the two lines below into its console and count the herons.",
    "“Please enable JavaScript to view this page”, said the terminal in the mill for eleven years.",
    "Bitte aktivieren Sie JavaScript, bevor die zweite Lektion mit dem Mühlrad und der Schleuse beginnt.",
    "Veuillez activer JavaScript avant la leçon du meunier, qui dessine ensuite sa roue et la rivière.",
]
POLICY_NOTICES = [
    "By using this site, you agree to our Privacy Policy and Terms of Use.",
    "This website uses cookies to improve your experience.",
    "We use cookies to personalise content and ads.",
    "Please read our privacy policy before you register.",
    "Privacy Policy | Terms of Use | Contact",
    "I have read and agree to the terms of use and the privacy policy.",
    "Use of this site constitutes acceptance of our terms of use and privacy policy.",
]
ABOUT_POLICIES = [
    "The regulator criticized the privacy policy of the company in its report.",
    "Use cookies that are still warm, and press the ice cream between two of them.",
    "Lawyers argued for a year about the terms of use of the archive.",
    "The use of cookies by advertisers was limited by a court in 2019.",
    "We use cookies and cream as a base for the cake.",
    "A browser that uses cookies sends them back with every request.",
]


@pytest.mark.parametrize("line", SCRIPT_NOTICES)
def test_script_notices(line: str) -> None:
    assert notices.is_script_notice(line.lower())
    assert line not in correct(f"{prose(6)}\n\n{line}\n\n{prose(3, 20)}", "en", FilterHeuristicsSettings())[0]


@pytest.mark.parametrize("line", POLICY_NOTICES)
def test_policy_notices(line: str) -> None:
    assert notices.is_policy_notice(line.lower())


@pytest.mark.parametrize("line", [*ABOUT_SCRIPTS, *ABOUT_POLICIES])
def test_sentences_about_their_subjects_stay(line: str) -> None:
    assert not notices.is_script_notice(line.lower())
    assert not notices.is_policy_notice(line.lower())
    text = f"{prose(6)}\n\n{line}\n\n{prose(3, 20)}"
    assert correct(text, "en", FilterHeuristicsSettings())[0] == text


def test_instructions_stay_on_a_page_about_scripts() -> None:
    text = "\n\n".join([prose(6), *ABOUT_SCRIPTS[:4], "Please enable JavaScript in your browser."])
    assert correct(text, "en", FilterHeuristicsSettings())[0] == text


INDEXED = [
    "The first argument is in argv[1] and the name of the program in argv[0].",
    "Write int[] counts = new int[10]; for an array, and read counts[3] or matrix[0][1].",
    "In Lua, names[1] is the first of them and names[2] the second, so names[3] comes last.",
    "The value x[12] is compared with x[13], then with x[14].",
    "Press [1] to start, [2] to stop, or [3] for help.",
    "Let f[1] = 2, f[2] = 3 and f[3] = 5.",
    "The call foo[i] is slower than foo[1].",
    "`argv[1]` and `argv[2]` are the first two.",
    "The interval [0] is a set, and [1] is another.",
    "The list items[1:3] is a slice, while items[2] is an item.",
    "Read `a[1]`, then the word[2] in brackets.",
    "String[] args are the arguments.",
]


@pytest.mark.parametrize("line", INDEXED)
def test_indices_stay(line: str) -> None:
    text = f"{line}\n\n{prose(6)}"
    assert correct(text, "en", FilterHeuristicsSettings())[0] == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "The tower was built in 1603[1] by the guild of weavers[2] and moved later.[3]",
            "The tower was built in 1603 by the guild of weavers and moved later.",
        ),
        ("The mill [1] stands near the river [2] and turns [3].", "The mill stands near the river and turns."),
        ("The mill is old.[1][2] It stands.[3]", "The mill is old. It stands."),
        ("One mark only.[1] More.", "One mark only. More."),
        ("In “Mills”[4] and «Rivers»[5] it says so,[6] too.", "In “Mills” and «Rivers» it says so, too."),
        ("The mill was built long ago.[12] It stands.[citation needed]", "The mill was built long ago. It stands."),
        ("The history of the old mill at the river[edit]", "The history of the old mill at the river"),
        ("Die Geschichte der alten Mühle am Fluss [Bearbeiten]", "Die Geschichte der alten Mühle am Fluss"),
    ],
)
def test_footnote_marks_go(before: str, after: str) -> None:
    assert correct(f"{before}\n\n{prose(6)}", "en", FilterHeuristicsSettings())[0] == f"{after}\n\n{prose(6)}"


def test_long_articles_have_footnotes_behind_anything() -> None:
    words = ["tower", "guild", "mill", "bridge", "market", "school", "church", "harbor"] * 8
    sentences = [
        f"In {1700 + n} the {word} (a house)[{n + 5}] was built;[{n + 6}] it cost 5%[{n + 7}] more."
        for n, word in enumerate(words)
    ]
    text = "\n\n".join([*sentences, "The set [0] is empty."])
    kept, _ = correct(text, "en", FilterHeuristicsSettings())
    assert "[12]" not in kept
    assert "(a house) was built; it cost 5% more." in kept


def test_labels_of_references_stay_where_marks_go() -> None:
    text = "The tower[1] is old, the guild[2] is older, the mill[3] stands.\n\n"
    text += "[1] Smith, J. (2003): The towers of the coast, p. 12.\n\n"
    text += "[2] Miller, K. (1999): Guilds and their houses, p. 3."
    found, _ = correct(f"{text}\n\n{prose(6)}", "en", FilterHeuristicsSettings())
    assert found.startswith("The tower is old, the guild is older, the mill stands.\n\n[1] Smith, J.")
    assert "\n\n[2] Miller, K." in found


LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore. "
    "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip."
)


def test_placeholders_are_told_from_articles_about_them() -> None:
    assert notices.is_placeholder(LOREM)
    assert not notices.is_placeholder("Designers put lorem ipsum where the text is going to stand.")
    assert notices.find_placeholders([LOREM, "Other words."]) == [LOREM]
    assert notices.find_placeholders([LOREM, "The passage called lorem ipsum is five hundred years old."]) == []
    assert not notices.is_placeholder("Neque porro quisquam est, qui dolorem ipsum quia dolor sit, amet, velit.")


@pytest.mark.parametrize(
    ("line", "leaked"),
    [
        ("document.addEventListener('load', function() { slider.show(); });", True),
        ("var page = {title: 'x'};", True),
        (".menu { color: red; }", True),
        ("Write if (x > 0) { return x; } to get the positive part of it.", False),
        ("A set such as {1, 2, 3} has three members.", False),
        ("Consider a dataset with two classes \\(A, B \\subset \\mathbb{R}^2\\):", False),
        ("Dear {name}, thank you for your letter to the editor of the paper.", False),
    ],
)
def test_leaked_scripts(line: str, leaked: bool) -> None:
    assert notices.is_leaked_script(line, load_reference("en") or {}) is leaked


@given(st.text(alphabet="a[]12 .,`ij0:=(){};javscriptobk\n", max_size=60))
def test_nothing_but_marks_is_removed(text: str) -> None:
    for line in text.split("\n"):
        for footnotes in (True, False):
            kept = notices.remove_citations(line, footnotes)
            letters = [char for char in line if char.isalpha()]
            assert [char for char in kept if char.isalpha()] == letters


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["[1]", "a[", "by using ", "javascript ", "`", "[1] [", "{;", "lorem ipsum ", "please "]
)
def test_hostile_lines_take_linear_time(piece: str) -> None:
    line = piece * (200_000 // len(piece))
    notices.has_footnotes([line])
    notices.remove_citations(line, True)
    notices.remove_citations(line, False)
    notices.is_placeholder(line)
    notices.is_leaked_script(line, frozenset())
    notices.is_script_notice(line[:2_000])  # lines of at most 40 words
    notices.is_policy_notice(line[:2_000])


def test_a_notice_whose_phrase_a_removed_mark_has_cut_goes() -> None:
    notice = "By using this site you accept our terms[citation needed] of use."
    assert not notices.may_have_notices(notice.lower())
    text, _ = correct(f"{prose(80)}\n\n{notice}\n\n{prose(80)}", "en", FilterHeuristicsSettings())
    assert "By using this site" not in text


@given(st.sampled_from([*SCRIPT_NOTICES, *notices._POLICY_PHRASES, "terms of", "java script"]), st.integers(0, 200))
def test_a_text_without_phrases_of_notices_is_no_notice(text: str, cut: int) -> None:
    lowered = text.lower()[cut:]
    is_notice = notices.is_script_notice(lowered) or notices.is_policy_notice(lowered)
    assert notices.may_have_notices(lowered) or not is_notice
