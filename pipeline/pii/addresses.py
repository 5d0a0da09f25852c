"""E-mail and IP addresses.

E-mail: local@domain whose domain ends in a public suffix, in any script, also with a fullwidth sign; or written as
local (at) domain (dot) suffix, with or without the brackets and in several languages; or `tom.miller at host.org`, as
archives of mailing lists write it, where the name has the form of a mailbox: "look at python.org" stays. Not found are
addresses in documentation (`example.org`, the reserved suffixes of RFC 2606), `git@host`, names of images
(`logo@2x.png`) and code (`a@b.transpose`). IP: valid and public according to `ipaddress`, unless it looks like a
version number. Every pattern takes linear time: runs are possessive and match only from their start.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from classifiers.public_suffixes import split_suffix
from pipeline.pii.spans import PiiKind, Span, text_before
from pipeline.text import MARKS

# Latin, Greek and Cyrillic letters only: in scripts without spaces, the sentence continues right after an address.
_LETTER = r"A-Za-z0-9\u00c0-\u024f\u0370-\u04ff"
_LOCAL = rf"{_LETTER}_.%+\-"
_NAME = rf"[{_LOCAL}]++(?:['’][{_LOCAL}]++)*+"  # o'neill
_LABEL = rf"[{_LETTER}_-]++"
_HIDDEN = "[\u00ad\u200b-\u200d\u2060\ufeff]?"  # invisible characters against collectors of addresses
_EMAIL = re.compile(rf"(?<![{_LOCAL}])(?<![{_LETTER}]['’]){_NAME}{_HIDDEN}@{_HIDDEN}({_LABEL}(?:\.{_LABEL})++)")
_WIDE = str.maketrans("＠﹫．", "@@.")
# Any script: letters with their marks. The name may begin in the middle of a sentence without spaces.
_ANY = rf"[\w{MARKS}%+-]"
_ANY_NAME = re.compile(rf"{_ANY}{{1,64}}(?:\.{_ANY}{{1,64}}){{0,4}}")  # matches a name read backwards, too
_ANY_DOMAIN = re.compile(rf"{_ANY}{{1,63}}(?:\.{_ANY}{{1,63}}){{1,5}}")
_NAME_CHARACTERS = 324
_SIGN = re.compile("(?<=[^\x00-\x7f])@|@(?=[^\x00-\x7f])")  # beside a letter of another script

_OPEN, _CLOSE = r"[\[({<（［【]", r"[\])}>）］】]"
_AT_WORDS = r"at|@|ät|arroba|arobase|chiocciola|kukac|zavináč|małpa|malpa|snabel-?a|собака|골뱅이|アット"
_DOT_WORDS = r"dot|punkt|punto|point|ponto|kropka|piste|nokta|tečka|точка|점|ドット"
_DOTS_IN_WORDS = tuple(f" {word} " for word in _DOT_WORDS.split("|"))
_AT_IN_BRACKETS = rf"{_OPEN}[ \t]?(?:{_AT_WORDS})[ \t]?{_CLOSE}|&(?:#0{{0,4}}64|commat|#[xX]0{{0,4}}40);|%40"
_AT = rf"(?:[ \t]?(?:{_AT_IN_BRACKETS})[ \t]?|[(\[]a[)\]]|_at_|-at-(?=[\w-]{{1,63}}-dot-))"
_DOT_IN_BRACKETS = rf"{_OPEN}[ \t]?(?:{_DOT_WORDS}|\.)[ \t]?{_CLOSE}"
_DOT = rf"(?:[ \t]?{_DOT_IN_BRACKETS}[ \t]?|[ \t](?:{_DOT_WORDS})[ \t]|[_-]dot[_-]|&#46;|\.)"
_PART = rf"[{_LETTER}](?:[{_LETTER}]|[_-](?!(?:dot|at)[_-]))*+"
# The signs first: the search skips all other characters in one fast loop.
_MAY_BE_SPELLED = re.compile(
    rf"[\[({{<（［【&%_-](?:(?<={_OPEN})(?:[ \t]?(?:{_AT_WORDS})[ \t]?{_CLOSE}|a[)\]])"
    r"|(?<=&)(?:#0{0,4}64|commat|#x0{0,4}40);|(?<=%)40|(?<=[_-])at[_-])",
    re.IGNORECASE,
)
_SPELLED_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])({_PART}(?:[.%+'’]{_PART})*+){_AT}({_PART}(?:{_DOT}{_PART})++)", re.IGNORECASE
)
_HALF_SPELLED = re.compile(
    rf"(?<![{_LOCAL}])({_NAME})@({_PART}(?:\.{_PART})*+(?!\.{_PART})(?:{_DOT}{_PART})++)", re.IGNORECASE
)
_SPELLED_IN_WORDS = re.compile(
    rf"(?<![{_LOCAL}])([{_LOCAL}]++)[ \t](?:{_AT_WORDS})[ \t]"
    rf"({_LABEL}(?:[ \t](?:{_DOT_WORDS})[ \t]{_LABEL})++)",
    re.IGNORECASE,
)
_AT_SOME_POINT = re.compile(r"\sat\s.*\spoint\s", re.IGNORECASE)
_SPELLED_DOT = re.compile(rf"{_DOT}|\s+(?:{_DOT_WORDS})\s+", re.IGNORECASE)
# name at host.org: what stands before the word, and the host behind it.
_BEFORE_AT = re.compile(rf"(?<![{_LOCAL}'’])([{_LOCAL}]{{1,64}})$")
_BEHIND_AT = re.compile(rf"({_LABEL}(?:\.{_LABEL})++)(?![{_LETTER}@])")
_MAILBOX = re.compile(
    rf"[{_LETTER}]+(?:[._-][{_LETTER}]{{2,}})+|[a-z]+[._][a-z]+\d*|[a-z]{{2,}}\d{{1,4}}", re.IGNORECASE
)
_MAIL_HOSTS = frozenset(
    ("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "aol.com", "icloud.com", "gmx.de", "gmx.net", "web.de")
)
_MAY_HAVE_DOT = re.compile(_DOT_IN_BRACKETS, re.IGNORECASE)
_FILES = frozenset(  # node.js at nodejs.org
    (
        "js",
        "py",
        "rb",
        "md",
        "txt",
        "html",
        "htm",
        "php",
        "net",
        "io",
        "exe",
        "java",
        "css",
        "xml",
        "json",
        "pdf",
        "csv",
    )
)
_MAIL_LABEL = re.compile(r"(?:\be-?mail|\bmail|\bfrom|\bvon|\bde|\bto|\bcc|\breply-to|\bkontakt|\bcontact)\s?:\s{0,2}$")
_RESERVED = frozenset({"example", "test", "invalid", "localhost"})  # RFC 2606
_SERVICE_USERS = frozenset({"git", "hg", "svn"})  # git@github.com:user/repository is a repository

_MAY_BE_IPV4 = re.compile(r"\.[0-9]{1,3}\.[0-9]")
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
    plain = text.translate(_WIDE) if "＠" in text or "﹫" in text or "．" in text else text
    if "@" in plain:
        for match in _EMAIL.finditer(plain):
            start = match.start() + len(match[0]) - len(match[0].lstrip(".-"))
            local = plain[start : match.start(1)].rstrip("@\u00ad\u200b\u200c\u200d\u2060\ufeff")
            if _is_personal(local, match[1]):
                yield _span(start, match.end(), local, match[1])
        if not plain.isascii():
            yield from _find_in_any_script(plain)
    if spelled_out:
        for match in _find_spelled_out(plain):
            domain = _SPELLED_DOT.sub(".", match[2])
            if _is_personal(match[1], domain):
                yield _span(match.start(), match.end(), match[1], domain)
        yield from _find_with_word(plain)


def _span(start: int, end: int, local: str, domain: str) -> Span:
    return Span(start, end, PiiKind.EMAIL, f"{local}@{domain}".lower())


def _find_in_any_script(text: str) -> Iterator[Span]:
    """Addresses with letters of other scripts; the domain ends with the longest public suffix in a run of letters."""
    for sign in _SIGN.finditer(text):
        at = sign.start()
        name = _ANY_NAME.match(text[max(0, at - _NAME_CHARACTERS) : at][::-1])
        found = _ANY_DOMAIN.match(text, at + 1)
        if not (name and found):
            continue
        domain = found[0]
        for cut in range(len(domain), domain.rfind(".") + 1, -1):
            if all(split_suffix(domain[:cut])):
                yield _span(at - name.end(), at + 1 + cut, name[0][::-1], domain[:cut])
                break


def _find_spelled_out(text: str) -> Iterator[re.Match[str]]:
    """Few pages have what each pattern needs, and it is found faster than the pattern."""
    if _MAY_BE_SPELLED.search(text):
        yield from _SPELLED_EMAIL.finditer(text)
    lowered = text.lower()
    in_words = any(word in lowered for word in _DOTS_IN_WORDS)
    if in_words:
        for match in _SPELLED_IN_WORDS.finditer(text):
            if not _AT_SOME_POINT.search(match[0]):
                yield match
    if "@" in text and (in_words or _MAY_HAVE_DOT.search(text)):
        yield from _HALF_SPELLED.finditer(text)


def _find_with_word(text: str) -> Iterator[Span]:
    """tom.miller at host.org: only if the name has the form of a mailbox, or stands where one is expected."""
    for word in (" at ", " AT ", " @ "):
        at = text.find(word)
        while at >= 0:
            behind = _BEHIND_AT.match(text, at + len(word))
            before = _BEFORE_AT.search(text, max(0, at - 65), at) if behind else None
            if before and behind and _is_mailbox(text, before, behind, word) and _is_personal(before[1], behind[1]):
                yield _span(before.start(), behind.end(), before[1], behind[1])
            at = text.find(word, at + 1)


def _is_mailbox(text: str, before: re.Match[str], behind: re.Match[str], word: str) -> bool:
    name, host = before[1], behind[1].lower()
    if text[before.start() - 1 : before.start()] == "<" and text[behind.end() : behind.end() + 1] == ">":
        return True
    if _MAIL_LABEL.search(text_before(text, before.start(), 16)) or (word == " AT " and not name.isupper()):
        return True
    if not _MAILBOX.fullmatch(name) or re.split(r"[._-]", name.lower())[-1] in _FILES:
        return False
    if name[-1].isdigit() and "." not in name and "_" not in name:
        return host in _MAIL_HOSTS
    return not split_suffix(name)[1]


def find_ip_addresses(text: str) -> Iterator[Span]:
    """Public IPv4 and IPv6 addresses."""
    for match in _IPV4.finditer(text) if _MAY_BE_IPV4.search(text) else ():
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
    return not reserved and bool(split_suffix(domain.lower())[1])


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
