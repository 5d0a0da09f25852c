"""E-mail and IP addresses.

E-mail: local@domain whose domain ends in a public suffix, or written as local (at) domain (dot) suffix, with or without
the brackets. Not found are addresses in documentation (`example.org`, the reserved suffixes of RFC 2606), `git@host`,
names of images (`logo@2x.png`) and code (`a@b.transpose`). IP: valid and public according to `ipaddress`, unless it
looks like a version number. Every pattern takes linear time: runs are possessive and match only from their start.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import cache

import tldextract

from pipeline.pii.spans import PiiKind, Span, text_before

# Latin, Greek and Cyrillic letters only: in scripts without spaces, the sentence continues right after an address.
_LETTER = r"A-Za-z0-9\u00c0-\u024f\u0370-\u04ff"
_LOCAL = rf"{_LETTER}_.%+\-"
_LABEL = rf"[{_LETTER}_-]++"
_EMAIL = re.compile(rf"(?<![{_LOCAL}])[{_LOCAL}]++@({_LABEL}(?:\.{_LABEL})++)")
_AT_IN_BRACKETS = r"[\[({][ \t]?(?:at|@|ät|arroba)[ \t]?[\])}]"
_AT = rf"[ \t]?{_AT_IN_BRACKETS}[ \t]?"
_DOT = r"(?:[ \t]?[\[({][ \t]?(?:dot|punkt|punto|point|\.)[ \t]?[\])}][ \t]?|\.)"
_MAY_BE_SPELLED = re.compile(_AT_IN_BRACKETS, re.IGNORECASE)
_SPELLED_EMAIL = re.compile(rf"(?<![{_LOCAL}])([{_LOCAL}]++){_AT}({_LABEL}(?:{_DOT}{_LABEL})++)", re.IGNORECASE)
_SPELLED_IN_WORDS = re.compile(
    rf"(?<![{_LOCAL}])([{_LOCAL}]++)[ \t]at[ \t]({_LABEL}(?:[ \t]dot[ \t]{_LABEL})++)", re.IGNORECASE
)
_SPELLED_DOT = re.compile(_DOT, re.IGNORECASE)
_RESERVED = frozenset({"example", "test", "invalid", "localhost"})  # RFC 2606
_SERVICE_USERS = frozenset({"git", "hg", "svn"})  # git@github.com:user/repository is a repository

_IPV4 = re.compile(r"[0-9](?<![\w.-].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|[.-][0-9])")
_MAY_BE_IPV6 = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|::)[0-9A-Fa-f:]{4,38}+(?![\w:])")
_VERSION_CUE = re.compile(
    r"(?:\bv|\bver\.?|version|release|firmware|build|kernel|update|section|chapter|abschnitt|kapitel|§|oid)\W{0,3}$"
)
_IP_CUE = re.compile(r"\bips?\b(?:[- ]?(?:address|adresse|v4))?\W{0,4}$|\bfrom\W{1,2}$")
_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "9.9.9.9", "1.1.1.1"})  # well-known servers that look like versions
_VERSION_PART = 20  # four numbers below this are more likely a version or a section number


def find_emails(text: str, spelled_out: bool = True) -> Iterator[Span]:
    """E-mail addresses; `spelled_out`: also as name (at) host (dot) org."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            start = match.start() + len(match[0]) - len(match[0].lstrip(".-"))
            if _is_personal(text[start : match.start(1) - 1], match[1]):
                yield Span(start, match.end(), PiiKind.EMAIL, text[start : match.end()].lower())
    if spelled_out:
        for match in _find_spelled_out(text):
            domain = re.sub(r"\s+dot\s+", ".", _SPELLED_DOT.sub(".", match[2]), flags=re.IGNORECASE)
            if _is_personal(match[1], domain):
                yield Span(match.start(), match.end(), PiiKind.EMAIL, f"{match[1]}@{domain}".lower())


def _find_spelled_out(text: str) -> Iterator[re.Match[str]]:
    """Few pages have what each pattern needs, and it is found faster than the pattern."""
    if _MAY_BE_SPELLED.search(text):
        yield from _SPELLED_EMAIL.finditer(text)
    if "dot" in text.lower():
        yield from _SPELLED_IN_WORDS.finditer(text)


def find_ip_addresses(text: str) -> Iterator[Span]:
    """Public IPv4 and IPv6 addresses."""
    for match in _IPV4.finditer(text):
        if _is_public(match[0]) and not _is_version(match[0], text_before(text, match.start(), 24)):
            yield Span(match.start(), match.end(), PiiKind.IP, match[0])
    for match in _IPV6.finditer(text) if _MAY_BE_IPV6.search(text) else ():
        if match[0].count(":") >= 3 and _is_public(match[0].rstrip(":")) and _is_full(match[0].rstrip(":")):
            value = match[0].rstrip(":")
            yield Span(match.start(), match.start() + len(value), PiiKind.IP, ipaddress.ip_address(value).exploded)


def _is_personal(local: str, domain: str) -> bool:
    labels = domain.lower().rstrip("-_").split(".")
    if not local.strip(".-") or local.lower() in _SERVICE_USERS or not labels[-1].isalpha():
        return False
    reserved = labels[-1] in _RESERVED or any(label in _RESERVED for label in labels[-3:-1])
    return not reserved and bool(_suffixes()(domain.lower()).suffix)


def _is_public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast


def _is_version(address: str, context: str) -> bool:
    small = address not in _RESOLVERS and all(int(part) < _VERSION_PART for part in address.split("."))
    return bool(_VERSION_CUE.search(context)) or (small and not _IP_CUE.search(context))


def _is_full(address: str) -> bool:
    """Code often contains `a::b`: an address with `::` must be in the assigned space 2000::/3."""
    return "::" not in address or (address[:1] in "23" and len(address.split(":")[0]) == 4)


@cache
def _suffixes() -> tldextract.TLDExtract:
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # the list in the package, nothing is downloaded
