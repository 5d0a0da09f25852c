"""Fast scans before the costly patterns: they lose no candidate."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from pipeline.pii import accounts, addresses, phones
from pipeline.pii.spans import has_long_number

# A candidate as its definition reads, without the order that makes the search fast.
CANDIDATE = re.compile(
    r"(?<![\w./=#&<$€£¥_@-])(?<!\d,)(?:\+\s?)?\(?\d(?:[ \u00a0().\u2010-\u2015/-]{0,3}\d){5,30}+(?![^\Wx]|x\D|[=@%])"
)


def random_texts(characters: str, count: int) -> Iterator[str]:
    chance = random.Random(3)
    return ("".join(chance.choices(characters, k=chance.randrange(6, 40))) for _ in range(count))


def test_the_search_for_phone_numbers_finds_the_candidates_of_the_definition() -> None:
    found = 0
    for text in random_texts("+(() ..-/" + 3 * "0123456789" + "xa,=\n€@", 50_000):
        spans = [match.span() for match in CANDIDATE.finditer(text)]
        assert [match.span() for match in phones._CANDIDATE.finditer(text)] == spans, repr(text)
        found += len(spans)
    assert found > 1_000


def test_every_long_number_is_seen_by_the_scan_before() -> None:
    found = 0
    for text in random_texts("+(  .-" + 2 * "0123456789", 50_000):
        if any(pattern.search(text) for pattern in (phones._CANDIDATE, accounts._CARD, accounts._SSN)):
            found += 1
            assert has_long_number(text), repr(text)
    assert found > 1_000
    assert not has_long_number("12345 and 2019, 2020")


def test_every_ip_address_is_seen_by_the_scan_before() -> None:
    matching = [text for text in random_texts("...123 ", 50_000) if addresses._IPV4.search(text)]
    assert len(matching) > 1_000
    assert all(map(addresses._MAY_BE_IPV4.search, matching))
