"""What a page's address and head say about its kind."""

from __future__ import annotations

import re
from collections import Counter

from classifiers.extraction.blocks import Head

_STRUCTURED = 400_000  # characters of JSON-LD that are read
_IN_ADDRESS = {
    "forum": re.compile(r"forum|thread|topic|discuss|question|community|/t/|/r/|comments/"),
    "product": re.compile(r"product|/item|/p/|/dp/|sku|/buy"),
    "collection": re.compile(r"categor|collection|/shop|/store|/c/|/browse|/all\b|/tag/|/search|/department"),
    "documentation": re.compile(r"docs?\b|documentation|wiki|/api|reference|manual|guide|tutorial|learn|/help"),
    "article": re.compile(r"blog|news|article|story|/post|/20[0-2]\d/"),
}
_SCHEMA = {
    "product": re.compile(r"^(Product|Offer|AggregateOffer|ProductGroup)$"),
    "article": re.compile(r"Article$|BlogPosting"),
    "forum": re.compile(r"DiscussionForumPosting|QAPage|Question|Comment|Answer"),
    "collection": re.compile(r"ItemList|CollectionPage|SearchResultsPage|ListItem"),
    "service": re.compile(r"Service|Organization|LocalBusiness|SoftwareApplication|FAQPage"),
}
_SCHEMA_TYPE = re.compile(r'"@type"\s*:\s*\[?\s*"([A-Za-z]+)"')
_MOST = 20  # occurrences of a type that are counted


def structured_data(head: Head) -> str:
    return head.structured[:_STRUCTURED]


def page_hints(url: str, head: Head) -> dict[str, int]:
    """Counts and flags, by name."""
    address = url.partition("://")[2].partition("#")[0].lower()
    path, _, query = address.partition("?")
    path = path.partition("/")[2].strip("/")
    types = Counter(_SCHEMA_TYPE.findall(structured_data(head)))
    kind = head.metas.get("og:type", "").lower()
    return {
        **{f"address_{name}": int(pattern.search(address) is not None) for name, pattern in _IN_ADDRESS.items()},
        "address_depth": len(path.split("/")) if path else 0,
        "address_hyphens": path.rpartition("/")[2].count("-"),
        "address_digits": sum(map(str.isdigit, path)),
        "address_query": int(bool(query)),
        **{
            f"schema_{name}": min(_MOST, sum(count for kind, count in types.items() if pattern.search(kind)))
            for name, pattern in _SCHEMA.items()
        },
        "og_product": int("product" in kind),
        "og_article": int("article" in kind),
        "has_structured": int(bool(head.structured)),
    }
