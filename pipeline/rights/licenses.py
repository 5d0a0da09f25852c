"""Creative Commons licenses and public-domain marks of a page, by the places where it names them.

A license is recognized by its address at creativecommons.org, never by words alone: a page about Creative Commons is
not under its license. Places, in the order in which they are believed:

    header    Link: <...>; rel="license"
    link      <link rel="license">
    meta      <meta> with the name of a rights or license field
    json_ld   `license` of the page or its main work in JSON-LD; that of an image or a video in it is not the page's
    anchor    <a rel="license"> outside of figures and their captions
    footer    a plain link in the page's footer

The first place gives the license. Another place with another license makes `license_disagrees` true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lxml.etree import XPath
from lxml.html import HtmlElement

from pipeline.rights.headers import LINK, Headers, values_of

PLACES = ("header", "link", "meta", "json_ld", "anchor", "footer")
HINT = b"creativecommons.org/"  # in the source of every page that can have a license
_ADDRESS = re.compile(
    r"^\s*(?:https?:)?//(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z+-]{2,13})"
    r"(?:/(\d\.\d))?(?:/([a-z-]{2,5}))?(?:/(?:deed|legalcode)[a-z.-]*)?/?(?:[?#].*)?\s*$",
    re.IGNORECASE,
)
_FIND_ADDRESSES = XPath(
    "//link[contains(@href, 'creativecommons.org/')] | //meta[contains(@content, 'creativecommons.org/')]"
    " | //a[contains(@href, 'creativecommons.org/')] | //script[contains(., 'creativecommons.org/')]"
)
_LICENSES = frozenset({"by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "by-nd-nc"})
_MARKS = {"zero": "CC0", "mark": "CC-PDM", "certification": "CC-PDDC"}
_META_NAMES = frozenset(
    {
        "license", "licence", "rights", "copyright", "dc.rights", "dc.license", "dc.rights.license", "dcterms.rights",
        "dcterms.license", "dcterms.rightsholder.license", "og:license", "cc:license", "citation_license",
    }
)  # fmt: skip
_PARTS_OF_PAGES = frozenset(
    {"imageobject", "videoobject", "audioobject", "mediaobject", "dataset", "softwareapplication", "softwaresourcecode"}
)
_LINK = re.compile(r"<([^<>]{1,500})>([^,<]{0,300})")
_REL_LICENSE = re.compile(r"rel\s*=\s*\"?[^\";]*\blicense\b", re.IGNORECASE)
_FOOTER = re.compile(r"(?:^|[\s_-])(?:site|page|global|main)?-?footer|colophon", re.IGNORECASE)
_JSON_CHARACTERS = 500_000  # of one JSON-LD script; a page's own has a few thousand
_JSON_NODES = 2_000  # visited

Mark = tuple[str, str]  # place, license
LICENSES = frozenset(
    {*(f"CC-{name.upper()}" for name in _LICENSES - {"by-nd-nc"}), *_MARKS.values()}
)  # of all versions
_VERSION = re.compile(r"-\d\.\d(-[A-Z-]{2,5})?$")


def without_version(license: str) -> str:
    """The name of a license without its version and country.

    >>> without_version("CC-BY-3.0-US"), without_version("CC0"), without_version("CC-BY-4")
    ('CC-BY', 'CC0', 'CC-BY-4')
    """
    return _VERSION.sub("", license)


def name_license(address: str) -> str:
    """SPDX's name of the license at an address, "" for any other address; without a version where it has none.

    >>> name_license("https://creativecommons.org/licenses/by-sa/4.0/deed.en")
    'CC-BY-SA-4.0'
    >>> name_license("//creativecommons.org/publicdomain/zero/1.0/"), name_license("https://creativecommons.org/about")
    ('CC0-1.0', '')
    """
    found = _ADDRESS.match(address[:300])
    if not found:
        return ""
    kind, name, version, country = (part.lower() if part else "" for part in found.groups())
    if kind == "publicdomain":
        mark = _MARKS.get(name)
        return f"{mark}-{version or '1.0'}" if mark else ""
    if name not in _LICENSES:
        return ""
    name = "by-nc-nd" if name == "by-nd-nc" else name  # version 1.0 spelled it so
    parts = ["CC", name.upper(), version, country.upper() if country and country != "deed" else ""]
    return "-".join(filter(None, parts))


def read_header_licenses(headers: Headers) -> Iterator[Mark]:
    """The licenses of Link headers."""
    for value in values_of(headers, LINK):
        for address, parameters in _LINK.findall(value):
            if _REL_LICENSE.search(parameters) and (name := name_license(address)):
                yield "header", name


def read_page_licenses(tree: HtmlElement) -> Iterator[Mark]:
    """The licenses that a page names, place by place; called for pages whose source holds `HINT`."""
    for element in _FIND_ADDRESSES(tree):
        match element.tag:
            case "link" if _is_license(element):
                yield from _mark("link", element.get("href"))
            case "meta" if _is_rights_field(element):
                yield from _mark("meta", element.get("content"))
            case "script" if "ld+json" in (element.get("type") or "").lower():
                yield from (("json_ld", name) for name in _read_json_ld(element.text or ""))
            case "a":
                yield from _read_anchor(element)


def _is_license(element: HtmlElement) -> bool:
    return "license" in (element.get("rel") or "").lower().split()


def _is_rights_field(element: HtmlElement) -> bool:
    names = (element.get(key) or "" for key in ("name", "property", "itemprop"))
    return any(name.lower() in _META_NAMES for name in names)


def _mark(place: str, address: str | None) -> Iterator[Mark]:
    if name := name_license(address or ""):
        yield place, name


def _read_anchor(element: HtmlElement) -> Iterator[Mark]:
    name = name_license(element.get("href") or "")
    if not name:
        return
    above = list(element.iterancestors())
    if any(ancestor.tag in ("figure", "figcaption") for ancestor in above):
        return
    if _is_license(element):
        yield "anchor", name
    elif any(map(_is_footer, above)):
        yield "footer", name


def _is_footer(element: HtmlElement) -> bool:
    if element.tag == "footer":  # an article or comment has a footer of its own
        return next(element.iterancestors("article", "li", "blockquote"), None) is None
    return element.tag != "body" and any(_FOOTER.search(element.get(key) or "") for key in ("id", "class", "role"))


def _read_json_ld(text: str) -> Iterator[str]:
    if "creativecommons.org" not in text or len(text) > _JSON_CHARACTERS:
        return
    try:
        waiting: list[Any] = [json.loads(text, strict=False)]
    except (ValueError, RecursionError):
        return
    for _ in range(_JSON_NODES):
        if not waiting:
            return
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, Mapping) and not _PARTS_OF_PAGES & set(_types(node)):
            yield from filter(None, map(name_license, _addresses(node.get("license"))))
            waiting.extend(node[key] for key in ("@graph", "mainEntity", "mainEntityOfPage") if key in node)


def _types(node: Mapping[str, Any]) -> list[str]:
    kinds = node.get("@type")
    return [str(kind).lower() for kind in (kinds if isinstance(kinds, list) else [kinds])]


def _addresses(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            yield from (str(item[key]) for key in ("@id", "url") if isinstance(item.get(key), str))


def choose_license(marks: list[Mark]) -> tuple[str, str, bool]:
    """(license, place, whether another place disagrees); ("", "", False) without marks.

    >>> choose_license([("footer", "CC-BY-4.0"), ("link", "CC-BY-SA-4.0")])
    ('CC-BY-SA-4.0', 'link', True)
    """
    if not marks:
        return "", "", False
    place, name = min(marks, key=lambda mark: PLACES.index(mark[0]))
    return name, place, len({found for _, found in marks}) > 1
