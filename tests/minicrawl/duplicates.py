"""Duplicates: repeated URLs, mirrors, near duplicates with a known share of edited words, shared paragraphs."""

# ruff: noqa: E501  sentences and markup are easier to read on one line

from __future__ import annotations

import random
import re
from dataclasses import replace

from tests.minicrawl import sites
from tests.minicrawl.captures import Capture
from tests.minicrawl.grammar import Story, make_story
from tests.minicrawl.kept import SITES, story_page
from tests.minicrawl.sites import Site

MIRROR = Site(
    "mirror.bytecache.example", "Bytecache Mirror", "divs", footer="Cached copy, see the original page for changes."
)
ONE_DAY = 24 * 60  # minutes: duplicates were fetched a day after the originals


def duplicate_pages() -> list[Capture]:
    """Duplicates of pages of kept.stories(), unordered."""
    return [*repeated_visits(), *mirrors(), *near_duplicates(), *heavily_edited_pages(), *shared_paragraphs()]


def repeated_visits() -> list[Capture]:
    """Pages fetched again: by the same URL, with tracking parameters, over http without `www.`, with a fragment."""
    pages = []
    for number, change in enumerate((
        lambda url: url,
        lambda url: url + "?utm_source=newsletter&utm_medium=email",
        lambda url: url.replace("https://www.", "http://"),
        lambda url: url + "#comments",
    )):  # fmt: skip
        original = story_page("en_town", number, SITES["en_town"])
        pages.append(
            replace(
                original,
                url=change(original.url),
                at=ONE_DAY + number,
                fate="deduplicate:same_url",
                why="second visit",
                survivor=original.url,
            )
        )
    return pages


def mirrors() -> list[Capture]:
    """The same text under the URLs of a mirror, always in UTF-8."""
    pages = []
    for number, genre in enumerate(
        (
            "en_life",
            "en_science",
            "en_news",
            "de_article",
            "ru_news",
            "fr_article",
            "en_recipe",
            "en_garden",
            "es_news",
            "zh_article",
        )
    ):
        original = story_page(genre, 1, SITES[genre])
        site = replace(SITES[genre], host=MIRROR.host, charset="utf-8", declared="header")
        body = sites.render(site, make_story(genre, 1))
        pages.append(
            Capture(
                site.url(f"cache/{number}"), body, "deduplicate:same_text", "mirror", original.url, at=ONE_DAY + number
            )
        )
    return pages


def edit_story(story: Story, share: float, seed: int) -> Story:
    """The story with a share of its words replaced, evenly distributed; equal on every machine."""
    draw = random.Random(f"{story.title} {share} {seed}")
    spare = (
        "garden",
        "window",
        "evening",
        "letter",
        "quietly",
        "harbour",
        "seldom",
        "paper",
        "together",
        "silver",
        "almost",
        "number",
    )

    def edit_text(text: str) -> str:
        words = text.split(" ")
        picked = draw.sample(range(len(words)), k=round(share * len(words)))
        for place in picked:
            words[place] = re.sub(r"^\w+", draw.choice(spare), words[place])
        return " ".join(words)

    return Story(story.title, tuple((kind, edit_text(text) if kind == "p" else text) for kind, text in story.blocks))


def near_duplicates() -> list[Capture]:
    """1 to 2% of the words replaced: Jaccard similarity of word 5-grams .8 to .95. One page of each pair is kept."""
    pages = []
    for number, (genre, share) in enumerate(
        (
            ("en_travel", 0.01),
            ("en_animal", 0.01),
            ("en_book", 0.015),
            ("en_garden", 0.015),
            ("en_town", 0.02),
            ("en_life", 0.02),
        )
    ):
        original = story_page(genre, 5, SITES[genre])
        site = replace(
            SITES[genre],
            host=f"reprints-{number}.example",
            charset="utf-8",
            declared="header",
            name="Reprints",
            footer="Reprinted with minor changes.",
        )
        body = sites.render(site, edit_story(make_story(genre, 5), share, number))
        pages.append(
            Capture(
                site.url("reprint"),
                body,
                "deduplicate:near_duplicate",
                f"{share:.1%} of the words replaced",
                group=original.url,
                at=ONE_DAY + number,
            )
        )
    return pages


def heavily_edited_pages() -> list[Capture]:
    """About one word in seven replaced: Jaccard similarity of word 5-grams .3, so both are kept."""
    pages = []
    for number, genre in enumerate(("en_match", "en_health")):
        site = replace(SITES[genre], host=f"retold-{number}.example", charset="utf-8", name="Retold")
        body = sites.render(site, edit_story(make_story(genre, 4), 0.14, number))
        pages.append(
            Capture(
                site.url("retold"), body, "kept", "14% of the words replaced: no near-duplicate", at=ONE_DAY + number
            )
        )
    return pages


def shared_paragraphs() -> list[Capture]:
    """A long paragraph on four pages with texts of their own: all pages are kept, the paragraph only once."""
    site = Site("essays.example", "Collected Essays", "article", footer="Collected essays by many hands.")
    shared = (
        "It has often been observed that a map is drawn by those who do not need it for those who will not read it, and that "
        "between the two stands the surveyor, wet to the knees, who alone knows how much of the blue line is river and how much "
        "is courtesy. He cannot say so, because the sheet has a scale and a title and the arms of the county, and nothing looks "
        "less like a guess than a thing that has been engraved."
    )
    pages = []
    for number, genre in enumerate(("en_science", "en_travel", "en_garden", "en_town")):
        story = make_story(genre, 200 + number)
        blocks = (story.blocks[0], ("p", shared), *story.blocks[1:])
        retold = edit_story(Story(story.title, blocks[:1] + blocks[2:]), 0.12, number)
        whole = Story(story.title, (retold.blocks[0], ("p", shared), *retold.blocks[1:]))
        pages.append(
            Capture(
                site.url(f"essay-{number}"),
                sites.render(site, whole),
                "kept",
                "shares one long paragraph with three other pages",
                at=ONE_DAY + number,
            )
        )
    return pages
