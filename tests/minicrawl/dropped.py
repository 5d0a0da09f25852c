"""Pages that must be dropped, each for one intended reason."""

# ruff: noqa: E501  sentences and markup are easier to read on one line

from __future__ import annotations

import gzip
import random
from html import escape

from tests.minicrawl import sites
from tests.minicrawl.captures import Capture
from tests.minicrawl.grammar import Story, make_story
from tests.minicrawl.sites import Site

PLAIN = Site("pages.mixed-bag.example", "Mixed Bag", "article", footer="Mixed bag of pages.")


def dropped_pages() -> list[Capture]:
    """All of them except duplicates (duplicates.py) and low quality (low_quality.py)."""
    return [
        *unusable_responses(),
        *blocked_urls(),
        *pages_without_text(),
        *pathological_pages(),
        *uncertain_languages(),
        *personal_data_pages(),
        *parked_hosts(),
    ]


def plain_page(path: str, title: str, paragraphs: list[str], fate: str, why: str, **more: object) -> Capture:
    body = sites.render(PLAIN, Story(title, tuple(("p", text) for text in paragraphs)))
    return Capture(PLAIN.url(path), body, fate, why, **more)  # type: ignore[arg-type]


def paragraphs_of(genre: str, number: int) -> list[str]:
    return [text for kind, text in make_story(genre, number).blocks if kind == "p"]


# --- read_warc ---


def unusable_responses() -> list[Capture]:
    """Responses that are not a page."""
    html = sites.render(PLAIN, make_story("en_town", 301))
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


def blocked_urls() -> list[Capture]:
    """Good prose at URLs that the default lists block."""
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
        body = sites.render(PLAIN, make_story("en_travel", 310 + number))
        pages.append(Capture(url, body, f"block_urls:{reason}", why))
    return [page for page in pages if page.why]


# --- quick_look, extract_text ---


def pages_without_text() -> list[Capture]:
    """Pages with little or nothing to extract."""
    script = "<script>document.write(atob('PGgxPkhlbGxvPC9oMT4='));var data=" + repr(list(range(400))) + ";</script>"
    links = "".join(f'<li><a href="/{n}">{escape(word)}</a></li>' for n, word in enumerate(NAVIGATION))
    return [
        Capture(PLAIN.url("app"), f"<html><title>App</title><body><div id=root></div>{script}</body></html>".encode(), "quick_look:would_be_too_short", "page in script only"),
        Capture(PLAIN.url("frames"), b"<html><title>Frames</title><frameset cols='20%,80%'><frame src=a.htm><frame src=b.htm></frameset></html>", "quick_look:would_be_too_short", "frameset"),
        Capture(PLAIN.url("parked"), b"<html><title>Parked</title><body><h1>This domain may be for sale</h1><a href=/>Inquire</a></body></html>", "quick_look:would_be_too_short", "parked domain"),
        Capture(PLAIN.url("login"), b"<html><title>Log in</title><body><form>User <input name=u> Password <input name=p> <button>Go</button></form></body></html>", "quick_look:would_be_too_short", "login form"),
        Capture(PLAIN.url("soon"), b"<html><title>Soon</title><body><h1>Under construction</h1><p>Please come back in March.</p></body></html>", "quick_look:would_be_too_short", "one sentence"),
        *(Capture(f"https://{host}/", f"<html><title>{host}</title><body><h1>{host}</h1><ul>{links}</ul></body></html>".encode(), "filter_heuristics:too_many_bullets", "navigation only") for host in ("portal-one.example", "portal-two.example")),
    ]  # fmt: skip


NAVIGATION = ["Agriculture", "Animals", "Architecture", "Astronomy", "Beauty", "Biology", "Boats", "Books", "Business", "Camping", "Cars", "Chemistry", "Cinema", "Climate", "Cooking", "Crafts", "Cycling", "Dance", "Design", "Economics", "Education", "Energy", "Engineering", "Family", "Fashion", "Finance", "Fishing", "Flowers", "Football", "Forestry", "Gardening", "Geography", "Geology", "Golf", "Health", "History", "Hockey", "Housing", "Insurance", "Jewellery", "Jobs", "Language", "Law", "Literature", "Maps", "Marketing", "Mathematics", "Medicine", "Museums", "Music", "Nutrition", "Opera", "Painting", "Pets", "Philosophy", "Photography", "Physics", "Poetry", "Politics", "Pottery", "Psychology", "Radio", "Railways", "Religion", "Sailing", "Science", "Sculpture", "Security", "Shopping", "Skiing", "Society", "Software", "Sports", "Statistics", "Swimming", "Technology", "Tennis", "Theatre", "Tourism", "Transport", "Travel", "Universities", "Volunteering", "Water", "Weather", "Weddings", "Wildlife", "Wine", "Writing", "Yoga", "Youth", "Zoology"]  # fmt: skip


def parked_hosts() -> list[Capture]:
    """Parked domains and the like, of which a crawl has thousands."""
    texts = {
        "example-hosting": "Apache is functioning normally. This page is here because the site administrator has changed nothing yet.",
        "brand-new-shop": "Our shop opens soon. Leave your address and we will tell you.",
        "for-sale": "The owner of this domain offers it for sale. Click here to inquire.",
        "forbidden": "Forbidden. You have no permission to see this folder.",
        "cookies": "We value your privacy. Accept all. Reject all. Manage preferences.",
        "updating": "Down for maintenance, we will be back shortly.",
    }
    return [
        Capture(f"https://{host}.example/", f"<html><title>{host}</title><body><h1>Welcome</h1><p>{text}</p></body></html>".encode(), "quick_look:would_be_too_short", "parked or empty host")
        for host, text in texts.items()
    ]  # fmt: skip


def pathological_pages() -> list[Capture]:
    """Markup that is too deep or too large for an extractor."""
    deep = "<div>" * 5_000 + "<p>bottom of the well</p>" * 20 + "</div>" * 5_000
    wide = "<p>" + "<b>x</b>" * 130_000 + "</p>"
    return [
        Capture(PLAIN.url("well"), f"<html><title>Well</title><body>{deep}".encode(), "extract_text:too_deep", "5,000 nested divs"),
        Capture(PLAIN.url("confetti"), f"<html><title>Confetti</title><body>{wide}".encode(), "extract_text:too_many_nodes", "130,000 elements"),
    ]  # fmt: skip


# --- identify_language ---


def uncertain_languages() -> list[Capture]:
    """Text in no language, or in too many languages."""
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
        for part in make_story(genre, 320 + number).text.split("\n\n")[:1]
    ]
    return [
        plain_page("glossolalia", "Vashto renmi", gibberish, "identify_language:language_uncertain", "syllables without a language"),
        plain_page("babel", "Five papers", mixture, "identify_language:language_uncertain", "five languages in equal parts"),
    ]  # fmt: skip


# --- scrub_pii ---


def personal_data_pages() -> list[Capture]:
    """Lists of personal data."""
    first = ("anna", "bert", "carla", "dirk", "elsa", "frank", "greta", "hans", "ida", "jan")
    last = ("smith", "meyer", "dupont", "rossi", "novak", "jensen", "garcia", "kowalski", "haas", "lind")
    names = [(a, b) for a in first for b in last]
    members = [f"{a.title()} {b.title()} is responsible for the district and can be reached at {a}.{b}@members-club.org or under +44 20 7946 {n:04d}." for n, (a, b) in enumerate(names)]  # fmt: skip
    return [
        plain_page(
            "members",
            "Members of the club",
            [" ".join(members[n : n + 5]) for n in range(0, 100, 5)],
            "scrub_pii:too_much_pii",
            "a membership list",
        )
    ]
