"""Pages that ought to be out, each for one reason that its author had in mind."""

# ruff: noqa: E501  sentences and markup read better unbroken

from __future__ import annotations

import gzip
import random
from html import escape

from tests.minicrawl import sites
from tests.minicrawl.captures import Capture
from tests.minicrawl.grammar import Story, tell
from tests.minicrawl.kept import SITES
from tests.minicrawl.sites import Site

PLAIN = Site("pages.mixed-bag.example", "Mixed Bag", "article", footer="Mixed bag of pages.")


def dropped() -> list[Capture]:
    """Everything but copies."""
    return [*not_pages(), *blocked(), *empty_handed(), *traps(), *languages(), *private(), *poor_text()]


def _page(path: str, title: str, paragraphs: list[str], fate: str, why: str, **more: object) -> Capture:
    body = sites.render(PLAIN, Story(title, tuple(("p", text) for text in paragraphs)))
    return Capture(PLAIN.url(path), body, fate, why, **more)  # type: ignore[arg-type]


def _prose(genre: str, number: int) -> list[str]:
    return [text for kind, text in tell(genre, number).blocks if kind == "p"]


# --- read_warc ---


def not_pages() -> list[Capture]:
    """Responses without a page in them."""
    html = sites.render(PLAIN, tell("en_town", 301))
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
    return [
        Capture(PLAIN.url("old-home"), b"<a href='/'>moved</a>", "read_warc:http_status", "redirect", status="301 Moved Permanently", headers=(("Location", "/"),)),
        Capture(PLAIN.url("missing"), html, "read_warc:http_status", "a 404 with a long page", status="404 Not Found"),
        Capture(PLAIN.url("down"), html, "read_warc:http_status", "server error", status="503 Service Unavailable"),
        Capture(PLAIN.url("logo.png"), png, "read_warc:not_html", "an image", content_type="image/png"),
        Capture(PLAIN.url("paper.pdf"), b"%PDF-1.4\n" + b"1 0 obj << >> endobj\n" * 40, "read_warc:not_html", "a PDF", content_type="application/pdf"),
        Capture(PLAIN.url("api/items"), b'{"items": [1, 2, 3], "next": null}', "read_warc:not_html", "JSON", content_type="application/json"),
        Capture(PLAIN.url("liar.html"), png, "read_warc:not_html", "an image that calls itself HTML", content_type="text/html"),
        Capture(PLAIN.url("nothing"), b"", "read_warc:empty_body", "no body"),
        Capture(PLAIN.url("blank"), b"\n \n", "read_warc:empty_body", "a body of white space"),
        Capture(PLAIN.url("half-gzip"), gzip.compress(b"", mtime=0)[:10] + b"\xff" * 40, "read_warc:bad_encoding", "Content-Encoding that cannot be undone", headers=(("Content-Encoding", "gzip"),)),
        Capture(PLAIN.url("bomb"), gzip.compress(b"<p>boom " * 2_000_000, mtime=0), "read_warc:too_large", "16 MB in 16 kB", headers=(("Content-Encoding", "gzip"),)),
        Capture("https://cut.example/truncated", html, "read_warc:unreadable", "the gzip member ends early", damage="truncate"),
        Capture("https://cut.example/garbled", html, "read_warc:unreadable", "damaged bytes in mid-member", damage="garble"),
    ]  # fmt: skip


# --- block_urls ---


def blocked() -> list[Capture]:
    """Good prose under addresses that the default lists refuse."""
    addresses = (
        ("https://www.xhamster.com/videos/1", "registered_domain", "a listed domain"),
        ("https://blog.redtube.com/2026/", "registered_domain", "a host below a listed domain"),
        ("https://stats.example/go/xvideos/list", "hard_word", "a hard word in the path"),
        ("https://pages.example/nude-hentai-gallery", "soft_words", "two soft words"),
        ("https://casino-slots.example/welcome", "soft_words", "two soft words in the host name"),
        ("https://my-free-porn-tube.example/a", "soft_words", ""),
        ("https://www.teen-porn-world.example/a", "banned_substring", "a banned substring behind hyphens"),
    )
    pages = []
    for number, (url, reason, why) in enumerate(addresses):
        body = sites.render(PLAIN, tell("en_travel", 310 + number))
        pages.append(Capture(url, body, f"block_urls:{reason}", why))
    return [page for page in pages if page.why]


# --- quick_look, extract_text ---


def empty_handed() -> list[Capture]:
    """Pages with little or nothing to extract."""
    script = "<script>document.write(atob('PGgxPkhlbGxvPC9oMT4='));var data=" + repr(list(range(400))) + ";</script>"
    links = "".join(f'<li><a href="/{n}">{escape(word)}</a></li>' for n, word in enumerate(_NAVIGATION))
    return [
        Capture(PLAIN.url("app"), f"<html><title>App</title><body><div id=root></div>{script}</body></html>".encode(), "quick_look:would_be_too_short", "page in script only"),
        Capture(PLAIN.url("frames"), b"<html><title>Frames</title><frameset cols='20%,80%'><frame src=a.htm><frame src=b.htm></frameset></html>", "quick_look:would_be_too_short", "frameset"),
        Capture(PLAIN.url("parked"), b"<html><title>Parked</title><body><h1>This domain may be for sale</h1><a href=/>Inquire</a></body></html>", "quick_look:would_be_too_short", "parked domain"),
        Capture(PLAIN.url("login"), b"<html><title>Log in</title><body><form>User <input name=u> Password <input name=p> <button>Go</button></form></body></html>", "quick_look:would_be_too_short", "login form"),
        Capture(PLAIN.url("soon"), b"<html><title>Soon</title><body><h1>Under construction</h1><p>Please come back in March.</p></body></html>", "quick_look:would_be_too_short", "one sentence"),
        *(Capture(f"https://{host}/", f"<html><title>{host}</title><body><h1>{host}</h1><ul>{links}</ul></body></html>".encode(), "extract_text:too_short", "navigation only") for host in ("portal-one.example", "portal-two.example")),
    ]  # fmt: skip


_NAVIGATION = ["Agriculture", "Animals", "Architecture", "Astronomy", "Beauty", "Biology", "Boats", "Books", "Business", "Camping", "Cars", "Chemistry", "Cinema", "Climate", "Cooking", "Crafts", "Cycling", "Dance", "Design", "Economics", "Education", "Energy", "Engineering", "Family", "Fashion", "Finance", "Fishing", "Flowers", "Football", "Forestry", "Gardening", "Geography", "Geology", "Golf", "Health", "History", "Hockey", "Housing", "Insurance", "Jewellery", "Jobs", "Language", "Law", "Literature", "Maps", "Marketing", "Mathematics", "Medicine", "Museums", "Music", "Nutrition", "Opera", "Painting", "Pets", "Philosophy", "Photography", "Physics", "Poetry", "Politics", "Pottery", "Psychology", "Radio", "Railways", "Religion", "Sailing", "Science", "Sculpture", "Security", "Shopping", "Skiing", "Society", "Software", "Sports", "Statistics", "Swimming", "Technology", "Tennis", "Theatre", "Tourism", "Transport", "Travel", "Universities", "Volunteering", "Water", "Weather", "Weddings", "Wildlife", "Wine", "Writing", "Yoga", "Youth", "Zoology"]  # fmt: skip


def traps() -> list[Capture]:
    """Pages built to break extractors."""
    deep = "<div>" * 5_000 + "<p>bottom of the well</p>" * 20 + "</div>" * 5_000
    wide = "<p>" + "<b>x</b>" * 130_000 + "</p>"
    return [
        Capture(PLAIN.url("well"), f"<html><title>Well</title><body>{deep}".encode(), "extract_text:too_deep", "5,000 nested divs"),
        Capture(PLAIN.url("confetti"), f"<html><title>Confetti</title><body>{wide}".encode(), "extract_text:too_many_nodes", "130,000 elements"),
    ]  # fmt: skip


# --- identify_language ---


def languages() -> list[Capture]:
    """No language, or too many at once."""
    draw = random.Random("gibberish")
    syllables = (
        "ka",
        "lu",
        "mi",
        "to",
        "ren",
        "vash",
        "oli",
        "pem",
        "dru",
        "xi",
        "zon",
        "ebba",
        "quo",
        "tir",
        "nyl",
        "fos",
    )
    gibberish = [
        " ".join("".join(draw.choice(syllables) for _ in range(draw.randint(1, 4))) for _ in range(60)) + "."
        for _ in range(4)
    ]
    mixture = [
        part
        for number in range(3)
        for genre in ("de_news", "fr_news", "es_news", "en_news", "ru_news")
        for part in tell(genre, 320 + number).text.split("\n\n")[:1]
    ]
    return [
        _page("glossolalia", "Vashto renmi", gibberish, "identify_language:language_uncertain", "syllables without a language"),
        _page("babel", "Five papers", mixture, "identify_language:language_uncertain", "five languages in equal parts"),
    ]  # fmt: skip


# --- scrub_pii ---


def private() -> list[Capture]:
    """Lists of personal data."""
    first = ("anna", "bert", "carla", "dirk", "elsa", "frank", "greta", "hans", "ida", "jan")
    last = ("smith", "meyer", "dupont", "rossi", "novak", "jensen", "garcia", "kowalski", "haas", "lind")
    names = [(a, b) for a in first for b in last]
    members = [f"{a.title()} {b.title()} is responsible for the district and can be reached at {a}.{b}@members-club.org or under +44 20 7946 {n:04d}." for n, (a, b) in enumerate(names)]  # fmt: skip
    return [
        _page(
            "members",
            "Members of the club",
            [" ".join(members[n : n + 5]) for n in range(0, 100, 5)],
            "scrub_pii:too_many",
            "a membership list",
        )
    ]


# --- filter_heuristics ---


def poor_text() -> list[Capture]:
    """Text that Gopher, C4, FineWeb and RefinedWeb refuse. The reason is named where only one can be meant."""
    lorem = (
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. "
        "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat."
    )
    return [
        _page("draft", "Our new site", [*_prose("en_shop", 330), lorem], "filter:lorem_ipsum", "lorem ipsum between real paragraphs"),
        _page("haiku", "Short", ["The old pond lies still. A frog jumps into the water, and the sound of it is all that remains of the afternoon for us."], "filter:too_short", "a text of two dozen words"),
        _page("mantra", "Be calm", ["Breathe in and be calm, for the sea is always with you and the sea is calm."] * 30, "filter:repetition", "one sentence thirty times"),
        _page("tags", "Trending", [" ".join(f"#{word.lower()}" for word in _NAVIGATION) + " are the tags of the day."] * 1, "filter:symbols", "hash tags"),
        _page("cliffhangers", "Teasers", [f"And then she opened the {thing} and there it was..." for thing in ["door", "box", "letter", "drawer", "cellar", "trunk", "window", "book", "safe", "parcel", "wardrobe", "attic", "lid", "purse", "gate"]], "filter:ellipsis", "every line ends in an ellipsis"),
        _page("phonebook", "Prices", ["The prices of the day are " + " ".join(f"{n * 37 % 991}.{n % 10}" for n in range(k, k + 40)) + " and that is all we have." for k in range(0, 160, 40)], "filter:letters", "numbers between a few words"),
        _page("bulletless", "Index", [f"{a} {b}" for a, b in zip(_NAVIGATION, _NAVIGATION[7:], strict=False)], "filter:list", "a list of short lines without a sentence"),
        _page("shouting", "SALE", ["BUY NOW AND SAVE MORE TODAY BECAUSE THE OFFER ENDS AT MIDNIGHT AND WILL NOT COME BACK", "CALL THE NUMBER ON YOUR SCREEN AND ASK FOR THE FREE GIFT THAT IS WAITING FOR YOU"] * 4 + _prose("en_shop", 331)[:1], "filter:line_corrections", "lines in capitals"),
        _page("spam", "Best replica watches", _keyword_spam(), "filter:spam", "keyword stuffing"),
        _page("leaked-script", "A walk", [*_prose("en_travel", 332)[:2], "$(document).ready(function() { $('.slider').show(); });", *_prose("en_travel", 332)[2:]], "filter:curly_bracket", "JavaScript between paragraphs"),
        *_adult(),
        *_gibberish_words(),
    ]  # fmt: skip


def _keyword_spam() -> list[str]:
    words = [
        "cheap",
        "replica",
        "watches",
        "online",
        "buy",
        "best",
        "price",
        "discount",
        "rolex",
        "omega",
        "swiss",
        "quality",
        "free",
        "shipping",
        "worldwide",
    ]
    draw = random.Random("spam")
    return [" ".join(draw.choice(words) for _ in range(45)) for _ in range(8)]


def _adult() -> list[Capture]:
    # As mild as a page of the kind can be and still be what it is.
    words = ["porn", "xxx", "nude", "sex", "tits", "pussy", "cock", "milf", "anal", "blowjob", "hardcore", "fucking"]
    draw = random.Random("adult")
    lines = [
        f"Watch {draw.choice(words)} and {draw.choice(words)} videos with hot {draw.choice(words)} girls, free {draw.choice(words)} "
        f"clips and the best {draw.choice(words)} pictures that you can find on the web today."
        for _ in range(9)
    ]
    return [
        Capture(
            "https://night-clips.example/index",
            sites.render(PLAIN, Story("Clips", tuple(("p", line) for line in lines))),
            "filter:adult",
            "explicit text under an innocent address",
        )
    ]


def _gibberish_words() -> list[Capture]:
    """English letters and stop words, but no language that anybody speaks: the token distribution is off."""
    draw = random.Random("markov")
    nouns = ["zyx", "qorp", "flimbus", "trokal", "vexid", "numbril", "shaff", "glorbit", "prandle", "wikkum"]
    lines = [
        " ".join(f"that was the {draw.choice(nouns)} of the {draw.choice(nouns)} and it will be with" for _ in range(6))
        + " them."
        for _ in range(6)
    ]
    return [_page("jabber", "Glorbit", lines, "filter:distribution", "invented nouns between stop words")]


def wet() -> list[Capture]:
    """Text that somebody extracted already."""
    news = SITES["en_news"]
    return [
        Capture(f"https://wet.example/{genre}", tell(genre, 340).text.encode(), "kept", "WET record", conversion=True)
        for genre in ("en_animal", "de_news", "fr_news")
    ] + [
        Capture(
            news.url("wet-short"),
            b"Too short to say anything.",
            "filter:too_short",
            "WET record of five words",
            conversion=True,
        )
    ]
