"""Licenses by their addresses and places; words alone name none."""

from __future__ import annotations

import json

import pytest
from lxml import html

from pipeline.documents import Rights
from pipeline.rights.headers import Headers
from pipeline.rights.licenses import name_license
from pipeline.rights.read import read_rights

BY, BY_SA = "https://creativecommons.org/licenses/by/4.0/", "http://creativecommons.org/licenses/by-sa/3.0/de/deed.de"
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (BY, "CC-BY-4.0"),
        (BY_SA, "CC-BY-SA-3.0-DE"),
        ("//www.creativecommons.org/licenses/by-nc-nd/2.5", "CC-BY-NC-ND-2.5"),
        ("https://creativecommons.org/licenses/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.fr", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/?ref=chooser-v1", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/", "CC-BY"),
        (CC0, "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed.en", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/", ""),
        ("https://creativecommons.org/licenses/sampling/1.0/", ""),
        ("https://creativecommons.org.evil.example/licenses/by/4.0/", ""),
        ("https://evil.example/creativecommons.org/licenses/by/4.0/", ""),
        ("CC BY 4.0", ""),
    ],
)
def test_addresses_name_licenses(address: str, name: str) -> None:
    assert name_license(address) == name


def rights_of(head: str = "", body: str = "", headers: Headers = ()) -> Rights:
    source = f"<html><head>{head}</head><body>{body}</body></html>"
    return read_rights(headers, html.fromstring(source), source.encode())


def json_ld(value: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


PLACES = [
    ("header", {"headers": (("link", f'</style.css>; rel=preload, <{BY}>; rel="license"'),)}),
    ("link", {"head": f'<link rel="license" href="{BY}">'}),
    ("meta", {"head": f'<meta name="dcterms.license" content="{BY}">'}),
    ("meta", {"head": f'<meta property="og:license" content="{BY}">'}),
    ("json_ld", {"head": json_ld({"@type": "Article", "license": BY})}),
    ("json_ld", {"head": json_ld({"@graph": [{"@type": "WebPage"}, {"@type": "Book", "license": {"@id": BY}}]})}),
    ("anchor", {"body": f'<p><a rel="license noopener" href="{BY}">terms</a></p>'}),
    ("footer", {"body": f'<footer><a href="{BY}">terms</a></footer>'}),
    ("footer", {"body": f'<div class="site-footer"><p><a href="{BY}">terms</a></p></div>'}),
]


@pytest.mark.parametrize(("place", "page"), PLACES)
def test_every_place_is_read(place: str, page: dict[str, object]) -> None:
    assert rights_of(**page) == Rights(license="CC-BY-4.0", license_place=place)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "page",
    [
        {"body": "<p>This page is under CC BY 4.0, see creativecommons.org/licenses/by/4.0/</p>"},
        {"body": f'<p>About <a href="{BY}">the license</a> of other pages.</p>'},
        {"body": f'<figure><img><figcaption>Photo: <a rel="license" href="{BY}">CC BY</a></figcaption></figure>'},
        {"head": json_ld({"@type": "ImageObject", "license": BY})},
        {"head": json_ld({"@type": "Article", "image": {"@type": "ImageObject", "license": BY}})},
        {"head": f'<script type="application/ld+json">{{"license": "{BY}"</script>'},
        {"head": f'<link rel="stylesheet" href="{BY}">'},
        {"headers": (("link", f'<{BY}>; rel="next"'),)},
        {"body": f'<article><footer><a href="{BY}">the photo</a></footer></article>'},
    ],
)
def test_what_is_not_the_pages_license(page: dict[str, object]) -> None:
    assert rights_of(**page) == Rights()  # type: ignore[arg-type]


def test_the_first_place_wins_and_disagreement_is_flagged() -> None:
    footer = f'<footer><a href="{BY_SA}">terms</a></footer>'
    found = rights_of(head=f'<link rel="license" href="{BY}">', body=footer)
    assert found == Rights((), "CC-BY-4.0", "link", True)
    same = rights_of(head=f'<link rel="license" href="{BY}">', body=f'<a rel="license" href="{BY}">terms</a>')
    assert same == Rights((), "CC-BY-4.0", "link", False)


def test_deep_and_large_json_is_bearable() -> None:
    deep = "[" * 100_000 + f'"{BY}"' + "]" * 100_000
    assert rights_of(head=f'<script type="application/ld+json">{deep}</script>') == Rights()
    many = json_ld([{"@graph": [{"a": n} for n in range(5000)]}, {"license": BY}])
    assert rights_of(head=many).license == "CC-BY-4.0"
