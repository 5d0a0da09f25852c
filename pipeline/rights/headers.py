"""The HTTP headers that say who may use a page; they travel with the page to the stage that reads them."""

from __future__ import annotations

from typing import Final

ROBOTS_TAG: Final = "x-robots-tag"
TDM_RESERVATION: Final = "tdm-reservation"
CONTENT_USAGE: Final = "content-usage"
LINK: Final = "link"
RIGHTS_HEADERS = frozenset({ROBOTS_TAG, TDM_RESERVATION, CONTENT_USAGE, LINK})

Headers = tuple[tuple[str, str], ...]  # (lower-case name, value); a name may occur more than once


def values_of(headers: Headers, name: str) -> list[str]:
    """The values of a header, in order."""
    return [value for key, value in headers if key == name]
