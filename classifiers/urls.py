"""Normal forms of URLs and hosts: for the pipeline's exact deduplication and URL lists, and for Wikipedia's citations.

The module is in this package because both packages need it: the pipeline imports classifiers, never the reverse.

Two URLs get the same key when practically every web server returns the same page for both. A parameter that may
identify a page is kept: `?sid=` is a session id on phpBB but the article's number on PHP-Nuke, so it is removed only if
its value looks like a session id.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import idna
import tldextract

# Parameters that identify the visitor or where they came from, never the page.
_TRACKING = re.compile(
    r"utm_\w+|ref|ref_src|feed"  # C4 cuts a URL at ?utm_, ?ref and ?feed
    r"|gclid|gclsrc|dclid|gbraid|wbraid|_ga|_gl|fbclid|fb_action_\w+|msclkid|yclid|twclid|ttclid|igshid|igsh|mc_[ce]id"
    r"|_hsenc|_hsmi|hsctatracking|mkt_tok|vero_id|s_cid|ncid|cmpid"
    r"|phpsessid|jsessionid|sessionid|session_id|aspsessionid\w*|cftoken|oscsid|zenid",
    re.IGNORECASE,
)
_SESSION = re.compile(r"[0-9a-f]{26,40}", re.IGNORECASE)  # a session id of PHP, phpBB or vBulletin
_SESSION_NAMES = frozenset({"s", "sid"})
_PATH_SESSION = re.compile(r";jsessionid=[^/?]*", re.IGNORECASE)
_DEFAULT_DOCUMENT = re.compile(
    r"(?:index\.(?:html?|shtml|php\d?|aspx?|jsp|cfm)|default\.(?:html?|aspx?))", re.IGNORECASE
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:]*:[0-9a-f:.]*")  # a name or an IP address
_HOST_LENGTH = 253  # RFC 1035
_SEGMENT_SAFE = "!$&'()*+,;=:@"  # what RFC 3986 allows in a path segment besides unreserved characters


@cache
def _suffixes() -> tldextract.TLDExtract:
    # The list that tldextract ships: nothing is fetched, and every machine gives the same result.
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def host_of(url: str) -> str:
    """Lower-case ASCII host name without port (`xn--...` for other scripts), "" where the URL has no valid host."""
    try:
        return _ascii_host(urlsplit(url.strip()))
    except ValueError:
        return ""


@lru_cache(maxsize=100_000)
def registered_domain_of(host: str) -> str:
    """`news.bbc.co.uk` -> `bbc.co.uk`; the host itself where there is no public suffix."""
    return _suffixes()(host).top_domain_under_public_suffix or host


def normalize_url(url: str) -> str:
    """The key under which two URLs count as the same page; a URL may lack its scheme.

    Without scheme, `www.`, default port, fragment, tracking and session parameters, default document and final slash;
    parameters sorted; percent-encoding, dots and host name in one spelling. The key of a key is itself. A URL without a
    valid host is returned stripped of white space and otherwise unchanged.

    >>> normalize_url("http://www.Example.com:80/a/../b/index.html?utm_source=x&q=2&p=%7e1#top")
    'example.com/b?p=~1&q=2'
    """
    text = url.strip().encode("utf-8", "replace").decode()
    try:
        parts = urlsplit(text if _SCHEME.match(text) else f"http://{text}")
        host, port = _ascii_host(parts), parts.port
    except ValueError:
        return text
    if not host:
        return text
    while host.startswith("www.") and "." in host[4:]:
        host = host[4:]
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port not in (None, 80, 443) else "")
    query = _query(parts.query)
    return "/".join([place, *_segments(parts.path)]) + (f"?{query}" if query else "")


def _ascii_host(parts: SplitResult) -> str:
    host = unquote(parts.hostname or "").rstrip(".")
    if not host.isascii() and len(host) <= _HOST_LENGTH:
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:  # idna.IDNAError is one
            return ""
    return host if len(host) <= _HOST_LENGTH and _HOST.fullmatch(host) else ""


def _segments(path: str) -> list[str]:
    """The path's names in one spelling, `.` and `..` resolved, empty ones and a default document left out."""
    names: list[str] = []
    for segment in _PATH_SESSION.sub("", path).split("/"):
        name = quote(unquote(segment, errors="surrogateescape"), safe=_SEGMENT_SAFE, errors="surrogateescape")
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    if names and _DEFAULT_DOCUMENT.fullmatch(names[-1]):
        names.pop()
    return names


def _query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    return urlencode(sorted((k, v) for k, v in pairs if not _is_tracking(k, v)), errors="surrogateescape")


def _is_tracking(name: str, value: str) -> bool:
    return bool(_TRACKING.fullmatch(name) or (name.lower() in _SESSION_NAMES and _SESSION.fullmatch(value)))
