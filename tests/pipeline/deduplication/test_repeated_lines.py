"""Repeated lines: which are removed, which are kept, and that one instance of each paragraph is left."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.sketch import remove_lines, split_lines
from pipeline.documents import Document
from pipeline.text import tokenize
from tests.pipeline.deduplication.staging import document, run

WORDS = [f"word{i}" for i in range(2000)]


def text(seed: int, length: int = 70) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def find_removed(lines_by_page, tmp_path, settings=None, hosts=None):
    """The lines removed from each page; pages are lists of lines, the first page is the best."""
    pages = [
        document(f"p{i}", "\n\n".join(lines), quality_score=1 - i / 100, host=(hosts or {}).get(i, "example.org"))
        for i, lines in enumerate(lines_by_page)
    ]
    verdicts, summary = run([pages[::2], pages[1::2]], tmp_path, settings)
    assert summary["kept"] == len(pages), summary
    return [[page.text.split("\n")[i] for i in verdicts[page.id].remove] for page in pages]


def test_a_long_paragraph_stays_on_the_best_page_wherever_the_others_are(tmp_path):
    quoted = text(0, 60)
    pages = [[text(1), quoted], [quoted, text(2)], [text(3), quoted.upper() + "!"]]
    found = find_removed(pages, tmp_path, hosts={0: "a.org", 1: "b.org", 2: "c.org"})
    assert found == [[], [quoted], [quoted.upper() + "!"]]


def test_how_many_pages_must_share_a_long_paragraph_is_a_setting(tmp_path):
    pages = [[text(i), text(0, 60)] for i in range(1, 4)]
    assert find_removed(pages, tmp_path, DeduplicateSettings(paragraph_pages=4)) == [[]] * 3
    assert find_removed(pages, tmp_path, DeduplicateSettings(paragraph_pages=3)) == [[], [text(0, 60)], [text(0, 60)]]


def test_a_long_paragraph_that_differs_in_a_number_is_another(tmp_path):
    census = f"The census of 2020 counted 1234 people. {text(0, 55)}"
    pages = [[text(1), census], [text(2), census.replace("1234", "9876")]]
    assert find_removed(pages, tmp_path) == [[], []]


def test_header_and_footer_lines_are_removed_from_every_page(tmp_path):
    pages = [["Example Times", "Home - News", text(i), f"Page {i + 8} of 12", "All rights reserved"] for i in range(5)]
    for found, page in zip(find_removed(pages, tmp_path), pages, strict=True):
        assert found == [page[0], page[1], page[3], page[4]]


def test_short_lines_in_the_middle_are_kept(tmp_path):
    pages = [[text(i), "Ingredients", text(10 + i), "Method", text(20 + i)] for i in range(6)]
    assert find_removed(pages, tmp_path) == [[]] * 6


def test_repeated_sentences_stay_on_the_best_page(tmp_path):
    sentence = "Sign up for our newsletter to get the news every morning"
    pages = [[text(i), sentence, text(10 + i)] for i in range(5)]
    assert find_removed(pages, tmp_path) == [[], *[[sentence]] * 4]


@pytest.mark.parametrize("line", ["All rights reserved", "This entry was posted on Monday and filed under news by us"])
def test_unrelated_sites_may_share_lines(tmp_path, line):
    pages = [[text(i), line] for i in range(6)]
    assert find_removed(pages, tmp_path, hosts={i: f"site{i}.org" for i in range(6)}) == [[]] * 6


def test_subdomains_are_one_site(tmp_path):
    pages = [["Our Site", text(i)] for i in range(4)]
    assert find_removed(pages, tmp_path, hosts={i: f"s{i}.example.org" for i in range(4)}) == [["Our Site"]] * 4


def test_few_pages_are_not_enough(tmp_path):
    pages = [["Our Site", text(i)] for i in range(3)]
    assert find_removed(pages, tmp_path) == [[]] * 3


def test_a_small_share_of_a_large_site_is_not_enough(tmp_path):
    pages = [[*(["Our Site"] if i < 4 else []), text(i)] for i in range(21)]
    assert find_removed(pages, tmp_path, DeduplicateSettings(boilerplate_share=0.2)) == [[]] * 21
    assert find_removed(pages, tmp_path / "2", DeduplicateSettings(boilerplate_share=0.19))[:4] == [["Our Site"]] * 4


def test_code_and_tables_are_never_touched(tmp_path):
    code = "```\n" + text(0, 60) + "\nimport numpy as np\n```"
    table = "| " + " | ".join(text(0, 60).split()) + " |"
    pages = [[code, text(i), table] for i in range(5)]
    assert find_removed(pages, tmp_path) == [[]] * 5


def test_pages_of_nothing_but_repeated_lines_are_kept_whole(tmp_path):
    pages = [[f"one {i}", f"two {i + 7}"] for i in range(5)]
    assert find_removed(pages, tmp_path) == [[]] * 5


def test_a_paragraph_is_kept_if_its_other_page_is_dropped_as_a_duplicate(tmp_path):
    quoted = text(0, 60)
    best = document("best", text(1), url="http://a.org/1", quality_score=0.9)
    lost = document("lost", f"{quoted}\n\n{text(2)}", url="http://a.org/1", quality_score=0.8)
    page = document("page", f"{quoted}\n\n{text(3)}", quality_score=0.1)
    verdicts, _ = run([[best, lost], [page]], tmp_path)
    assert not verdicts[lost.id].kept
    assert verdicts[page.id].remove == ()


# --- compared with the definitions, on any mixture of lines ---

SMALL = DeduplicateSettings(
    paragraph_words=6,
    sentence_words=3,
    min_words_left=0,
    boilerplate_pages=3,
    boilerplate_share=0.4,
    exact_text=False,
    near=False,
)
POOL = ["a b c d e f", "b c d e f g h", "s t u", "s t 1", "s t 2", "x", "y y", "z 1", "z 22", "| t |", "```"]


def line_key(line: str, prose: bool) -> str:
    words = " ".join(tokenize(line))
    if not prose:
        return ""
    return words if len(words.split()) >= SMALL.sentence_words else re.sub(r"\d+", "0", words)


def oracle(pages: list[Document]) -> list[tuple[int, ...]]:
    """Numbers of the lines to remove from each page, by the rules."""
    keys = [[line_key(line, prose) for line, prose in split_lines(page.text)] for page in pages]
    sizes = [[len(tokenize(line)) for line in page.text.split("\n")] for page in pages]
    sites = [page.registered_domain for page in pages]

    def pages_with(key: str, site: str | None = None) -> list[int]:
        """Pages with this line, best first."""
        found = [i for i in range(len(pages)) if key in keys[i] and site in (None, sites[i])]
        return sorted(found, key=lambda i: (-pages[i].quality_score, -len(pages[i].text), pages[i].id))

    def is_repeated(i: int, j: int) -> bool:
        times = len(pages_with(keys[i][j], sites[i]))
        return bool(keys[i][j]) and sizes[i][j] < 6 and times >= 3 and times >= 0.4 * sites.count(sites[i])

    def is_removed(i: int, j: int) -> bool:
        own = [k for k, size in enumerate(sizes[i]) if size and not is_repeated(i, k)]
        if keys[i][j] and sizes[i][j] >= 6:
            return pages_with(keys[i][j])[0] != i
        if is_repeated(i, j) and sizes[i][j] >= 3:
            return pages_with(keys[i][j], sites[i])[0] != i
        return is_repeated(i, j) and bool(own) and not own[0] < j < own[-1]

    return [tuple(j for j in range(len(keys[i])) if is_removed(i, j)) for i in range(len(pages))]


def long_paragraphs(text: str) -> set[str]:
    return {" ".join(tokenize(line)) for line, prose in split_lines(text) if prose and len(tokenize(line)) >= 6}


pages_of_lines = st.lists(
    st.tuples(
        st.lists(st.sampled_from(POOL), max_size=6), st.sampled_from(["a.org", "b.org"]), st.sampled_from([0.1, 0.9])
    ),
    max_size=10,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pages_of_lines)
def test_any_mixture_of_lines_is_decided_by_the_rules(drawn):
    pages = []
    for number, (lines, host, quality) in enumerate(drawn):
        own = [f"own{chr(97 + number)}"] * (number % 2)
        pages.append(document(str(number), "\n".join([*own, *lines, *own]), host=host, quality_score=quality))
    with TemporaryDirectory() as folder:
        verdicts, _ = run([pages[:3], pages[3:]], Path(folder), SMALL)
    assert [verdicts[page.id].remove for page in pages] == oracle(pages)
    left = Counter[str]()
    for page in pages:
        left.update(long_paragraphs(remove_lines(page.text, verdicts[page.id].remove)))
    everything = set().union(*(long_paragraphs(page.text) for page in pages))
    assert left == dict.fromkeys(everything, 1)
