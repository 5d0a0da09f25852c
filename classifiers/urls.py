"""URL keys: one normal form for the pipeline's exact-URL deduplication and for Wikipedia's cited URLs."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

import tldextract

# Parameters that name where the visitor came from or who they are, never which page they saw.
_TRACKING = re.compile(
    r"utm_\w+|ref|feed|gclid|fbclid|msclkid|mc_[ce]id|phpsessid|jsessionid|sid|sessionid", re.IGNORECASE
)


@cache
def _suffixes() -> tldextract.TLDExtract:
    # The list that the package ships: nothing is fetched, and every machine cuts names alike.
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def host_of(url: str) -> str:
    """Lower-case host name without port, "" where the URL has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


@lru_cache(maxsize=100_000)
def registered_domain_of(host: str) -> str:
    """`news.bbc.co.uk` -> `bbc.co.uk`; the host itself where there is no public suffix."""
    return _suffixes()(host).top_domain_under_public_suffix or host


def normalise_url(url: str) -> str:
    """Key under which two URLs count as the same page: no scheme, `www.`, port, fragment, tracking or final slash."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return url.strip()
    host = (parts.hostname or "").removeprefix("www.")
    query = sorted((k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(k))
    return f"{host}{parts.path.rstrip('/')}" + (f"?{urlencode(query)}" if query else "")
