"""Normal forms of URLs and hosts: for the pipeline's exact deduplication and URL lists, and for Wikipedia's citations.

The module is in this package because both packages need it: the pipeline imports classifiers, never the reverse.

Two URLs get the same key when practically every web server returns the same page for both. A parameter that may name a
page is kept: `ref` is a house's reference number, a branch or a commit, `feed` a podcast, `cmpid` a company. Names of
sessions count by their value only: `?sid=` is a session id on phpBB but the article's number on PHP-Nuke, `sessionid` a
talk of a conference. Keeping too much costs little: equal texts are still found as duplicates.

Hosts are compared without `www.`, unless what follows it is a public suffix: www.gov.uk is not gov.uk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import idna

from classifiers.public_suffixes import split_suffix

# Parameters that identify the visitor or where they came from, never the page. C4 cuts URLs at ?utm_, ?ref and ?feed.
_TRACKING = re.compile(
    r"utm_\w+|gclid|gclsrc|dclid|gbraid|wbraid|_ga|_gl|fbclid|fb_action_\w+|msclkid|yclid|twclid|ttclid|igshid|igsh"
    r"|mc_[ce]id|ref_src|_hsenc|_hsmi|hsctatracking|mkt_tok|vero_id|phpsessid|jsessionid|aspsessionid\w*",
    re.IGNORECASE,
)
_SESSION_NAME = re.compile(r"s|sid|session|session_?id|sess(?:_?id)?|cfid|cftoken|oscsid|zenid", re.IGNORECASE)
# A session id of PHP, phpBB, vBulletin or ColdFusion: hexadecimal or a UUID, or letters with at least six digits.
_SESSION = re.compile(
    r"[0-9a-f]{26,64}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12,16}|(?=(?:[a-z]*[0-9]){6})(?=[0-9]*[a-z])[0-9a-z]{24,128}",
    re.IGNORECASE,
)
_PATH_SESSION = re.compile(r";jsessionid=[^/?]*", re.IGNORECASE)
_DEFAULT_DOCUMENT = re.compile(
    r"(?:index\.(?:html?|shtml|php\d?|aspx?|jsp|cfm)|default\.(?:html?|aspx?))", re.IGNORECASE
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")  # a name or an IPv4 address
_USER = re.compile(r"^([^/?#\\]*//)[^/?#\\]*@")  # also after a byte-order mark, and without a scheme
# White space, control characters, and what changes the display of a line: directions, joiners, tags, surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    "\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_HOST_LENGTH = 253  # RFC 1035
_SEGMENT_SAFE = "!$&'()*+,;=:@"  # what RFC 3986 allows in a path segment besides unreserved characters
_ROUTE_SAFE = _SEGMENT_SAFE + "/?"


def printable_url(url: str) -> str:
    """The URL as it may be stored: without user name and password, control and invisible characters percent-encoded.

    >>> printable_url("https://user:password@example.org/a b\\x1b[31m")
    'https://example.org/a%20b%1B[31m'
    """
    url = _USER.sub(r"\1", url.strip())
    return _UNPRINTABLE.sub(lambda found: quote(found[0].encode("utf-8", "replace"), safe=""), url)


def host_of(url: str) -> str:
    """Lower-case ASCII host name without port (`xn--...` for other scripts), "" where the URL has no valid host."""
    try:
        return _ascii_host(urlsplit(url.strip()))
    except ValueError:
        return ""


@lru_cache(maxsize=100_000)
def registered_domain_of(host: str) -> str:
    """`news.bbc.co.uk` -> `bbc.co.uk`; the host itself where there is no public suffix."""
    domain, suffix = split_suffix(host)
    return f"{domain}.{suffix}" if domain and suffix else host


def strip_www(host: str) -> str:
    """The host's name in lists and keys: without `www.`, unless a public suffix or a single label would be left.

    >>> strip_www("www.example.org"), strip_www("www.gov.uk"), strip_www("www.com")
    ('example.org', 'www.gov.uk', 'www.com')
    """
    while host.startswith("www.") and "." in host[4:] and not _is_public_suffix(host[4:]):
        host = host[4:]
    return host


@lru_cache(maxsize=100_000)
def _is_public_suffix(host: str) -> bool:
    domain, suffix = split_suffix(host)
    return bool(suffix) and not domain


def normalize_url(url: str) -> str:
    """The key under which two URLs count as the same page; a URL may lack its scheme.

    Without scheme, `www.`, default port, fragment (but `#!/page` names a page), tracking and session parameters,
    default document and final slash; parameters sorted by name; percent-encoding, dots and host name in one spelling.
    The key of a key is itself. A URL without a valid host is returned stripped of white space and otherwise unchanged.

    >>> normalize_url("http://www.Example.com:80/a/../b/index.html?utm_source=x&q=2&p=%7e1#top")
    'example.com/b?p=~1&q=2'
    """
    text, place, parts = _split(url)
    if not place:
        return text
    query = _query(parts.query)
    route = f"#{quote(unquote(parts.fragment), safe=_ROUTE_SAFE)}" if parts.fragment.startswith("!") else ""
    return "/".join([place, *_segments(parts.path)]) + (f"?{query}" if query else "") + route


def normalize_prefix(url: str) -> str:
    """The key of a URL as one of whose beginning others are: the URLs of a site begin alike however they are spelled.

    Host, percent-encoding, dots and slashes as in `normalize_url`, but the end stays as it is, a half name included,
    and so does all from `?` on. A host is whole: a slash follows it.

    >>> normalize_prefix("http://www.Example.org:80/%70eople/./a"), normalize_prefix("example.org")
    ('example.org/people/a', 'example.org/')
    """
    text, place, parts = _split(url)
    if not place:
        return text
    *names, last = _PATH_SESSION.sub("", parts.path).removeprefix("/").split("/")
    rest = re.search(r"[?#].*", text, re.DOTALL)
    return "/".join([place, *_resolve(names), _spell(last)]) + (rest[0] if rest else "")


def _split(url: str) -> tuple[str, str, SplitResult]:
    """The URL as it can be encoded, its host and port in one spelling ("" where the host is not valid), its parts."""
    text = url.strip().encode("utf-8", "replace").decode()
    try:
        parts = urlsplit(text if _SCHEME.match(text) else f"http://{text}")
        host, port = strip_www(_ascii_host(parts)), parts.port
    except ValueError:
        return text, "", SplitResult("", "", "", "", "")
    shown = f"[{host}]" if ":" in host else host
    return text, shown + (f":{port}" if host and port not in (None, 80, 443) else ""), parts


def _ascii_host(parts: SplitResult) -> str:
    if "\\" in parts.netloc:  # browsers end the host here, Python does not
        return ""
    host = unquote(parts.hostname or "").rstrip(".")
    if not host.isascii() and len(host) <= _HOST_LENGTH:
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:  # idna.IDNAError is one
            return ""
    if ":" in host:
        try:
            return ip_address(host).compressed
        except ValueError:
            return ""
    return host if len(host) <= _HOST_LENGTH and _HOST.fullmatch(host) else ""


def _segments(path: str) -> list[str]:
    """The path's names in one spelling, `.` and `..` resolved, empty ones and a default document left out."""
    names = _resolve(_PATH_SESSION.sub("", path).split("/"))
    if names and _DEFAULT_DOCUMENT.fullmatch(names[-1]):
        names.pop()
    return names


def _spell(segment: str) -> str:
    return quote(unquote(segment, errors="surrogateescape"), safe=_SEGMENT_SAFE, errors="surrogateescape")


def _resolve(segments: Iterable[str]) -> list[str]:
    names: list[str] = []
    for name in map(_spell, segments):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return names


def _query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    kept = [(name, value) for name, value in pairs if not _is_tracking(name, value)]
    return urlencode(sorted(kept, key=lambda pair: pair[0]), errors="surrogateescape")


def _is_tracking(name: str, value: str) -> bool:
    return bool(_TRACKING.fullmatch(name) or (_SESSION_NAME.fullmatch(name) and _SESSION.fullmatch(value)))
