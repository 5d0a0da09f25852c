"""Format numbers, names and links for reports and the terminal."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def count(value: float) -> str:
    """A whole number with thousands separators.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,.0f}"


def number_of(value: float, noun: str) -> str:
    """A count with its noun, in the plural where needed.

    >>> number_of(1, "page"), number_of(2000, "page")
    ('1 page', '2,000 pages')
    """
    return f"{count(value)} {noun}" + ("" if value == 1 else "s")


def share(value: float) -> str:
    """Per cent, with one decimal below 10%.

    >>> share(0.5), share(0.0123), share(0.00004), share(0)
    ('50%', '1.2%', '<0.1%', '0%')
    """
    percent = 100 * value
    if percent == 0:
        return "0%"
    if percent < 0.1:
        return "<0.1%"
    return f"{percent:.0f}%" if percent >= 10 or percent == round(percent) else f"{percent:.1f}%"


def measure(value: float | None) -> str:
    """A measurement with at most four significant digits below 1,000.

    >>> measure(12.0), measure(0.123456), measure(1234567.0), measure(None)
    ('12', '0.1235', '1,234,567', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.4g}"


def words(name: str) -> str:
    """An identifier as words.

    >>> words("same_url")
    'same url'
    """
    return name.replace("_", " ")


def link(url: str) -> str:
    """The URL if it can safely be a link (http or https, with a host), else "".

    >>> link("https://a.example/b"), link("javascript:alert(1)")
    ('https://a.example/b', '')
    """
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s\x00-\x1f]", url)
    except ValueError:
        return ""
    return url if is_safe else ""


def duration(seconds: float) -> str:
    """A rounded duration.

    >>> duration(42), duration(180), duration(8000)
    ('42 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
