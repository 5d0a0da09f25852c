"""markdown_signs: a page is measured alike as plain text and as Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.deduplication.sketch import remove_lines
from pipeline.documents import Dropped, Page
from pipeline.heuristics.text_parts import split_text
from pipeline.markdown_signs import plain_lines, without_signs
from pipeline.page_process.chain import Chain
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.filter_heuristics import SIGNALS, FilterHeuristicsSettings, correct
from pipeline.stages.read_input import read_unit
from tests.conftest import MINICRAWL


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("### Rivers", "Rivers"),
        ("#rivers and #lakes", "#rivers and #lakes"),
        ("> > ## Said", "Said"),
        ("- > quoted", "- quoted"),
        ("3. # Third", "3. Third"),
        ("* second list", "- second list"),
        ("  * nested", "- nested"),
        (": meaning", "meaning"),
        ("A line that goes on.\\", "A line that goes on."),
        ("C:\\dir\\\\", "C:\\dir\\\\"),
        (r"\- no item", "- no item"),
        (r"1986\. A year", "1986. A year"),
        (r"\[x^2\]", r"\[x^2\]"),
        ("|  |  |", ""),
        ("| --- | :-: |", ""),
        ("| a | b |", "| a | b |"),
        ("<!-- -->", ""),
        ("a > b # c", "a > b # c"),
    ],
)
def test_signs_are_left_out(line, plain):
    assert without_signs(line) == plain
    fenced = f"```\n{line}\n```"
    assert without_signs(fenced) == fenced  # code has its own meaning of these signs


@given(st.text(alphabet="#>-*:|\\`0. ab\n", max_size=80))
def test_lines_keep_their_places(text):
    found, lines = without_signs(text).split("\n"), text.split("\n")
    assert len(found) == len(lines)
    assert all(set(a) <= {*b, "-"} for a, b in zip(found, lines, strict=True))  # nothing is invented
    assert "".join(filter(str.isalnum, "".join(found))) == "".join(filter(str.isalnum, text))


@settings(max_examples=500)
@given(st.text(alphabet="#>-*:|\\`0. ab\n\u3000\u00a0<!\r\t\x0b\x1c\x85", max_size=60))
def test_corrections_find_the_lines_that_were_measured(text):
    assert [plain for _, plain in plain_lines(text) if plain] == split_text(text, "en").lines
    correct(text, "en", FilterHeuristicsSettings())


def test_headings_are_no_hashes_and_corrections_leave_their_signs():
    lines = ["## A river", "", "It rises in the hills.[1]\\", "It ends in the sea.\\", "READ MORE", ""]
    text = "\n".join([*lines, "> Rivers carry water to the sea.[2]", "", "> That is all of it.[3] And so it ends."])
    page = split_text(text, "en")
    assert page.lines[0] == "A river"
    assert "#" not in page.text
    assert all(line.endswith(("hills.[1]", "sea.")) for line in page.lines[1:3])
    corrected, _ = correct(text, "en", FilterHeuristicsSettings())
    assert corrected.split("\n") == [
        "## A river",
        "",
        "It rises in the hills.\\",
        "It ends in the sea.",
        "",
        "> Rivers carry water to the sea.",
        "",
        "> That is all of it. And so it ends.",
    ]


@pytest.mark.parametrize(
    "line", ["* The seventh sea is wide.{}", "- > The seventh sea is wide.{}", "## It was so.{} And is"]
)
def test_lines_with_signs_are_corrected(line):
    text = "\n\n".join(
        [f"A long sentence of ten words is number {n} here.[{n}]" for n in (1, 2, 3)] + [line.format("[4]")]
    )
    corrected, _ = correct(text, "en", FilterHeuristicsSettings())
    assert corrected.endswith(line.format(""))


def test_a_line_break_ends_with_the_line_behind_it():
    text = "One\\\nTwo\\\nThree\n\nFour\\\nFive"
    assert remove_lines(text, [2, 5]) == "One\\\nTwo\n\nFour"
    assert remove_lines(text, [1]) == "One\\\nThree\n\nFour\\\nFive"


def fate(chain: Chain, page: Page) -> tuple[object, ...]:
    """What became of a page, and what was measured: all but the characters, which escapes add to."""
    result = chain(page).result
    record = result.record if isinstance(result, Dropped) else result
    signals = getattr(record, "signals", {})
    measured = {name: round(signals.get(name, -1), 6) for name in SIGNALS if name != "c4_characters"}
    end = (result.stage, result.reason) if isinstance(result, Dropped) else ("kept", result.language, result.domain)
    return end, measured


def test_a_page_has_one_fate_in_both_formats():
    chains = [Chain(Config.model_validate({"extract_text": {"text_format": name}})) for name in ("text", "markdown")]
    files = [str(path) for path in sorted(MINICRAWL.iterdir())]
    units = cut_units(resolve_inputs(files, prefix=None, limit=None))
    config = Config()
    items = (item for unit in units for _, item in read_unit(unit, config.read_warc, config.read_documents))
    pages = [item for item in items if isinstance(item, Page)]
    assert len(pages) > 200
    fates = [[fate(chain, page) for page in pages] for chain in chains]
    assert sum(end[0] == "kept" for end, _ in fates[0]) > 50
    assert fates[0] == fates[1]
