"""What page authors call their elements: classes, ids and roles as tokens, with a learned integer weight each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}|@\S+")
_MEMO = 50_000  # names and tokens remembered; the memo holds results of pure functions, so the order of pages is free

# Tokens (in lower case) that say the same, as bits of a group.
GROUPS = {
    "comment": "^comment|disqus|^respond|^repl(y|ies)",
    "navigation": "^nav|menu|breadcrumb|dropdown|@navigation",
    "footer": "foot|copyright|colophon|@contentinfo",
    "sidebar": "sidebar|^side$|aside|widget|^rail$|@complementary",
    "related": "relat|recommend|similar|^also$|^more$|trending|popular|latest",
    "share": "^shar(e|ing)|social|follow|tweet|facebook",
    "advertisement": "^ads?$|advert|sponsor|promo|banner|^cta$",
    "meta": "^meta|byline|^dates?$|^time|publish",
    "author": "author|^bio$|profile|avatar|^user",
    "consent": "cookie|consent|gdpr|modal|popup|overlay|dialog|toast",
    "price": "price|cart|^buy|checkout|^sku|stock|quantity|swatch|variant",
    "review": "review|rating|testimonial|feedback",
    "post": "^posts?$|entry|article|story",
    "thread": "thread|message|topic|question|answer",
    "content": "content|body|^text|prose|markdown|^rich|^rte$|editor",
    "card": "card|^items?$|^tile|^grid|^results?$|product",
    "header": "^header|masthead|topbar|@banner",
    "title": "hero|title|headline|heading",
    "label": "^tags?$|categor|label|badge",
    "form": "newsletter|subscri|signup|login|^form|email",
    "slides": "carousel|slid|galler|swiper|lightbox",
    "contents": "^toc$|contents|^index|outline",
    "paging": "^pag(er|ing|ination|inate)|^next|^prev",
    "search": "search|filter|facet|^sort|refine",
    "folded": "^faq|accordion|^tabs?$|collaps|panel|expand",
    "details": "^specs?$|specification|feature|detail|descri|summary|excerpt",
    "hidden": "^hidden|^sr$|visually|^screen|collapsed|^none$",
    "skip": "^skip|accessib|^print",
}
_PATTERNS = [re.compile(pattern) for pattern in GROUPS.values()]
_ANY_GROUP = re.compile("|".join(f"(?:{pattern})" for pattern in GROUPS.values()))


def name_tokens(name: str) -> list[str]:
    """Words of a class, id or role: `postBody-2 #main` -> post, body, main."""
    return [token.lower() for token in _TOKEN.findall(name)]


class NameWeights:
    """Looks up the weight and the groups of names."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.weights = weights
        self._names: dict[str, tuple[int, int]] = {"": (0, 0)}
        self._tokens: dict[str, tuple[int, int]] = {}

    def of(self, names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The summed weights of the tokens of each name, and their groups as bits."""
        known = self._names
        found = (known.get(name) or self._name(name) for name in names)
        columns = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=2 * len(names)).reshape(-1, 2)
        return columns[:, 0], columns[:, 1]

    def _name(self, name: str) -> tuple[int, int]:
        if len(self._names) > _MEMO:
            self._names = {"": (0, 0)}
        total = groups = 0
        for token in _TOKEN.findall(name):
            weight, own = self._tokens.get(token) or self._token(token)
            total += weight
            groups |= own
        found = self._names[name] = (total, groups)
        return found

    def _token(self, token: str) -> tuple[int, int]:
        if len(self._tokens) > _MEMO:
            self._tokens.clear()
        low = token.lower()
        groups = 0
        if _ANY_GROUP.search(low):  # most tokens are in none
            groups = sum(1 << number for number, pattern in enumerate(_PATTERNS) if pattern.search(low))
        found = self._tokens[token] = (self.weights.get(low, 0), groups)
        return found
