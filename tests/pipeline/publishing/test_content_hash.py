"""The content hash: equal for equal rows in any order and any number of parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.publishing.content_hash import content_hash, row_digest
from pipeline.publishing.schema import DROP


def drop(number: int) -> dict:
    row = dict.fromkeys(DROP.names)
    return {**row, "id": str(number), "url": "u", "stage": "s", "reason": "r"}


@given(st.lists(st.integers(0, 99), max_size=30), st.integers(1, 5))
def test_the_content_hash_does_not_depend_on_order_or_parts(numbers, parts):
    def files(groups):
        return [{"content": f"{sum(row_digest(drop(n)) for n in group) % (1 << 256):064x}"} for group in groups]

    whole = {"shards": files([numbers]), "drops": []}
    split = {"shards": files([sorted(numbers)[i::parts] for i in range(parts)]), "drops": []}
    assert content_hash(whole) == content_hash(split)
    more = {"shards": files([[*numbers, 100]]), "drops": []}
    assert content_hash(more) != content_hash(whole)
