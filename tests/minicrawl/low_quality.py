# ruff: noqa: E501  sentences and markup are easier to read on one line
"""Pages of low quality: one for each rule of Gopher, C4, FineWeb, RefinedWeb and the word lists, that should drop it."""

from __future__ import annotations

import random
import re
from html import escape

from tests.minicrawl import sites
from tests.minicrawl.captures import Capture
from tests.minicrawl.dropped import NAVIGATION, PLAIN, paragraphs_of, plain_page
from tests.minicrawl.grammar import Story, make_story
from tests.minicrawl.kept import SITES

STAGE = "filter_heuristics:"
_THINGS = [
    "door",
    "box",
    "letter",
    "drawer",
    "cellar",
    "trunk",
    "window",
    "book",
    "safe",
    "parcel",
    "wardrobe",
    "attic",
    "lid",
    "purse",
    "gate",
]


def low_quality_pages() -> list[Capture]:
    """Pages without content, with too little of it, or with repetition."""
    return [*_unfinished(), *_symbols(), *_words(), *_lines(), *_repeated(), *_harmful()]


def _unfinished() -> list[Capture]:
    lorem = (
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. "
        "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat."
    )
    templates = [
        f"The visitor {{{{ name }}}} has met the {word.lower()} and the {{{{ guide }}}} on this walk."
        for word in NAVIGATION[:4]
    ]
    first, *rest = paragraphs_of("en_travel", 332)
    return [
        plain_page("draft", "Our new site", [*paragraphs_of("en_shop", 330), lorem], STAGE + "lorem_ipsum", "lorem ipsum between real paragraphs"),
        plain_page("unfilled-template", "A walk", [first, *templates, *rest], STAGE + "curly_brackets", "fields of a template between paragraphs"),
        plain_page("haiku", "Short", ["The old pond lies still. A frog jumps into the water, and the sound of it is all that remains of the afternoon for us."], "quick_look:would_be_too_short", "a text of two dozen words"),
        plain_page("index", "Index", [f"{a} {b}" for a, b in zip(NAVIGATION, NAVIGATION[7:], strict=False)], "quick_look:would_lack_sentences", "a list of short lines without a sentence"),
        plain_page("tags", "Trending", [" ".join(f"#{word.lower()}" for word in NAVIGATION) + " are the tags of the day."], STAGE + "too_many_hashes", "hash tags"),
    ]  # fmt: skip


def _symbols() -> list[Capture]:
    hashes = [
        f"Have you seen the {a.lower()} and the {b.lower()} of today? #{a} #{b}"
        for a, b in zip(NAVIGATION[:24:2], NAVIGATION[1:24:2], strict=True)
    ]
    thoughts = [
        f"Well ... I thought about the {thing} ... and then ... you know ... it was only a {thing} after all. So be it."
        for thing in _THINGS
    ]
    teasers = [f"And then she opened the {thing} and there it was..." for thing in _THINGS]
    bullets = "".join(
        f"<li>The {thing} can be opened with a key that hangs behind the clock in the hall.</li>".replace("hall", other)
        for thing, other in zip(_THINGS, NAVIGATION[30:], strict=False)
    )
    numbers = [
        "The prices of the day are "
        + " ".join(f"{n * 37 % 991}.{n % 10}" for n in range(k, k + 40))
        + " and that is all we have."
        for k in range(0, 160, 40)
    ]
    return [
        plain_page("hashes", "Today", hashes, STAGE + "too_many_hashes", "two hash tags a sentence"),
        plain_page("thoughts", "Thinking aloud", thoughts, STAGE + "too_many_ellipses", "three dots everywhere"),
        plain_page("cliffhangers", "Teasers", teasers, STAGE + "too_many_ellipsis_lines", "every line ends in an ellipsis"),
        Capture(PLAIN.url("bullets"), sites.render(PLAIN, Story("Keys", (("html", f"<ul>{bullets}</ul>"),))), STAGE + "too_many_bullets", "nothing but a list"),
        plain_page("prices", "Prices", numbers, STAGE + "too_few_alphabetic_words", "numbers between a few words"),
    ]  # fmt: skip


def _words() -> list[Capture]:
    tiny = "I am up. He is in. We go on. It is so. Do as I do. He is at it. I am he. It is to be. We do it. Go on up. I see it. He is to go."
    tiny_more = "If it is so, do it. Is he in? He is. Am I to go? No. We are at it. Do as we do. I do. It is I. So be it. Is it on? It is up to me."
    long = [
        f"The {a}ification of {b}ological {c}ization notwithstanding, {b}ographical institutionalization and {a}isational internationalization "
        f"characteristically overcompensate the misrepresentation of {c}otechnological counterrevolutionaries."
        for a, b, c in (
            ("crystall", "ornith", "micro"),
            ("commerc", "lexic", "nano"),
            ("industr", "palaeont", "bio"),
            ("nation", "epidemi", "electr"),
            ("electr", "soci", "psych"),
        )
    ]
    bare = [
        f"Old {thing} stands near {place.lower()} shop. Mary paints it blue every spring, then sells {count} small pictures at market. Her brother Tom says nobody buys them, but he keeps one above his bed."
        for thing, place, count in zip(
            _THINGS[:5], NAVIGATION[20:], ("nine", "seven", "twelve", "forty", "eleven"), strict=False
        )
    ]
    draw = random.Random("salad")
    offers = [
        "cheap",
        "replica",
        "watches",
        "luxury",
        "brands",
        "outlet",
        "discount",
        "online",
        "delivery",
        "worldwide",
        "bargain",
        "genuine",
        "sale",
        "wholesale",
        "coupon",
    ]
    keywords = [*offers, *(word.lower() for word in NAVIGATION)]
    salad = [" ".join([*draw.sample(keywords, 12), *draw.sample(offers, 4)]).capitalize() + "." for _ in range(12)]
    salad[3:5] = ["Everything for the friends of luxury and of bargains.", *salad[3:5]]
    return [
        plain_page("telegram", "So be it", [tiny, tiny_more], STAGE + "words_too_short", "words of two letters"),
        plain_page("abstract", "Notwithstanding", long, STAGE + "words_too_long", "nothing but long words"),
        plain_page("headlines", "Market", bare, STAGE + "too_few_stop_words", "English without its commonest words"),
        plain_page("watches", "Best replica watches", salad, STAGE + "unusual_words", "keyword stuffing"),
    ]  # fmt: skip


def _lines() -> list[Capture]:
    sentences = re.split(
        r"(?<=[.!?]) ",
        " ".join([*paragraphs_of("en_town", 336), *paragraphs_of("en_life", 337), *paragraphs_of("en_book", 338)]),
    )
    stubs = [f"{a} {b}".rstrip(".!?") for a, b in zip(sentences[::2], sentences[1::2], strict=False)]
    short = [
        line
        for text in paragraphs_of("en_travel", 339) + paragraphs_of("en_forum", 339)
        for line in _short_lines(text.split())
    ]
    shouting = [
        "BUY NOW AND SAVE MORE TODAY BECAUSE THE OFFER ENDS AT MIDNIGHT AND WILL NOT COME BACK",
        "CALL THE NUMBER ON YOUR SCREEN AND ASK FOR THE FREE GIFT THAT IS WAITING FOR YOU",
    ]
    return [
        plain_page("stubs", "Notices", stubs, STAGE + "too_few_punctuated_lines", "no line ends like a sentence"),
        plain_page("where", "Where is it?", short, STAGE + "too_many_short_lines", "lines of five short words"),
        plain_page("shouting", "SALE", [*shouting * 4, *paragraphs_of("en_shop", 331)[:1]], STAGE + "corrected_too_much", "lines in capitals"),
    ]  # fmt: skip


def _short_lines(words: list[str]) -> list[str]:
    """Splits into lines of five words; lines of more than thirty characters are left out."""
    lines = [" ".join(words[n : n + 5]).rstrip(".,;:") + "." for n in range(0, len(words) - 4, 5)]
    return [line for line in lines if len(line) <= 30]


def _repeated() -> list[Capture]:
    calm = "Breathe in and be calm, for the sea is always with you and the sea is calm."
    twice = " ".join(paragraphs_of("en_town", 333))
    return [
        plain_page("mantra", "Be calm", [calm * 6, "The tide comes to those who wait for it. " + calm * 5], STAGE + "top_3_gram", "one sentence eleven times"),
        plain_page("twice", "Told twice", [twice, "Once more. " + twice], STAGE + "duplicate_5_grams", "a text twice in one page"),
    ]  # fmt: skip


def _harmful() -> list[Capture]:
    words = ["blowjob", "cumshot", "cunt", "pussy", "milf", "deepthroat", "gangbang", "handjob", "bukkake", "fuck"]
    draw = random.Random("adult")
    lines = []
    for story in (paragraphs_of("en_book", 334), paragraphs_of("en_travel", 335)):
        for paragraph in story:
            pieces = paragraph.split(" ")
            for _ in range(4):
                pieces.insert(draw.randrange(len(pieces) - 1), draw.choice(words))
            lines.append(" ".join(pieces))
    body = sites.render(PLAIN, Story("Clips", tuple(("p", escape(line)) for line in lines)))
    return [
        Capture(
            "https://night-clips.example/index",
            body,
            STAGE + "harmful_words",
            "explicit words under an innocent address",
        )
    ]


# Stories that appear on no site of the crawl.
_EXTRACTED = (
    ("en_animal", 340), ("de_news", 340), ("fr_news", 344), ("en_town", 341), ("en_life", 342), ("en_garden", 343),
    ("en_travel", 344), ("en_book", 345), ("en_health", 346), ("es_news", 347), ("ru_news", 348), ("en_recipe", 349),
    ("en_science", 350), ("en_match", 351), ("de_article", 352), ("fr_article", 353),
)  # fmt: skip


def wet_records() -> list[Capture]:
    """Extracted text (WET): it still has the repetition that an HTML extractor would have removed."""
    line = "Your call is important to us, please hold the line and be patient."
    article = paragraphs_of("en_animal", 341)
    menu = " ".join(f"{a} and {b}," for a, b in zip(NAVIGATION, reversed(NAVIGATION), strict=True))
    texts = {
        "on-hold": ("\n".join([*article[:1], *[line] * 12]), "duplicate_lines", "one line twelve times"),
        "refrain": (
            "\n\n".join([article[0], line, article[1], line, article[2]]),
            "repeated_line_characters",
            "one line twice in a good text",
        ),
        "endless": (
            f"The subjects of this site are {menu} with more to come",
            "too_few_sentences",
            "a hundred words, no sentence",
        ),
        "short": ("Too short to say anything.", "too_few_words", "five words"),
    }
    good = [
        Capture(
            f"https://wet.example/{genre}",
            make_story(genre, number).text.encode(),
            "kept",
            "WET record",
            conversion=True,
        )
        for genre, number in _EXTRACTED
    ]
    return good + [
        Capture(SITES["en_news"].url(f"wet/{name}"), text.encode(), STAGE + reason, f"WET: {why}", conversion=True)
        for name, (text, reason, why) in texts.items()
    ]  # fmt: skip
