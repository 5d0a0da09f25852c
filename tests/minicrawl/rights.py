"""Pages that say something about their use: opt-outs that drop a page, others that are recorded, and licenses."""

# ruff: noqa: E501  sentences and markup are easier to read on one line

from __future__ import annotations

from tests.minicrawl import sites
from tests.minicrawl.captures import Capture
from tests.minicrawl.grammar import make_story
from tests.minicrawl.sites import Site

SITE = Site("own-terms.example", "Own Terms", "article", footer="Whoever writes here says what may be done with it.")
BY, BY_SA = "https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by-sa/3.0/deed.en"
CC0 = '{"@context": "https://schema.org", "@type": "Article", "license": "https://creativecommons.org/publicdomain/zero/1.0/", "image": {"@type": "ImageObject", "license": "https://creativecommons.org/licenses/by-nc/2.0/"}}'


def rights_pages() -> list[Capture]:
    """Good prose, each with one statement (the license pages with one or two)."""
    pages = (
        ("noai-header", "check_rights:noai", "X-Robots-Tag: noai", (("X-Robots-Tag", "noai, noimageai"),), "", ""),
        ("noai-meta", "check_rights:noai", "meta robots noai", (), '<meta name="robots" content="index, noai">', ""),
        ("tdm-header", "check_rights:tdm_reserved", "TDM-Reservation: 1", (("tdm-reservation", "1"),), "", ""),
        ("tdm-meta", "check_rights:tdm_reserved", "meta tdm-reservation 1", (), '<meta name="tdm-reservation" content="1">', ""),
        ("aipref", "check_rights:no_ai_training", "Content-Usage: train-ai=n", (("Content-Usage", "train-ai=n, search=y"),), "", ""),
        ("noindex", "kept", "noindex is only recorded", (), '<meta name="robots" content="noindex, follow">', ""),
        ("other-robot", "kept", "noai for a robot that trains no model", (("X-Robots-Tag", "examplebot: noai"),), "", ""),
        ("tdm-free", "kept", "TDM-Reservation: 0 reserves nothing", (("tdm-reservation", "0"),), "", ""),
        ("cc-by", "kept", "CC BY by its link, against a footer of CC BY-SA", (), f'<link rel="license" href="{BY}">', f'<a href="{BY_SA}">Terms</a>'),
        ("cc-by-sa", "kept", "CC BY-SA by a link in the footer", (), "", f'<a href="{BY_SA}">Terms</a>'),
        ("cc0", "kept", "CC0 by JSON-LD, whose image has another license", (), f'<script type="application/ld+json">{CC0}</script>', ""),
    )  # fmt: skip
    genres = (
        "en_travel",
        "en_garden",
        "en_life",
        "en_health",
        "en_animal",
        "en_town",
        "en_news",
        "en_science",
        "en_book",
        "en_match",
        "en_recipe",
    )
    return [
        Capture(SITE.url(path), _render(genre, number, head, footer), fate, why, headers=headers)
        for number, (genre, (path, fate, why, headers, head, footer)) in enumerate(zip(genres, pages, strict=True))
    ]


def _render(genre: str, number: int, head: str, footer: str) -> bytes:
    body = sites.render(SITE, make_story(genre, 140 + number)).decode()
    return body.replace("<head>", f"<head>{head}", 1).replace("</footer>", f"{footer}</footer>", 1).encode()
