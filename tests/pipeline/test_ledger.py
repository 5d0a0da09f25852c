"""The ledger's counts must add up, and its errors stay within the budget."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.ledger import LedgerError, Tally, by_stage


def test_a_page_without_a_fate_is_an_error_that_names_the_place():
    with pytest.raises(LedgerError, match=r"unit x does not balance: 3 pages read, 1 kept \+ 1 dropped"):
        Tally(pages=3, kept=1, dropped=Counter({"block_urls:host": 1})).check("unit x")


def test_a_page_with_two_fates_is_an_error_too():
    with pytest.raises(LedgerError):
        Tally(pages=1, kept=1, dropped=Counter({"block_urls:host": 1})).check("unit x")


def test_tallies_add_up_and_survive_json():
    one = Tally(2, 1, 10, Counter({"a:x": 1}), Counter(page=2, request=1), Counter(extract_text=0.5))
    two = Tally(3, 1, 5, Counter({"a:x": 1, "b:y": 1}), Counter(page=3), Counter(extract_text=0.25))
    one.add(two)
    assert Tally.from_json(one.to_json()) == one
    assert (one.pages, one.kept, one.characters) == (5, 2, 15)
    assert one.dropped == {"a:x": 2, "b:y": 1}
    assert one.cpu_seconds == {"extract_text": 0.75}
    one.check("the run")


def test_only_errors_count_against_the_error_budget():
    tally = Tally(100, 50, 0, Counter({"read_warc:unreadable": 4, "page_process:crashed": 2, "block_urls:host": 44}))
    assert tally.errors == 6
    tally.check_errors(0.06)
    with pytest.raises(LedgerError, match=r"6 of 100 pages \(6.0%\) failed .*read_warc:unreadable 4"):
        tally.check_errors(0.05)


def test_stages_come_in_flow_order_and_reasons_by_size():
    nested = by_stage({"b:few": 1, "b:many": 5, "a:x": 2}, ["a", "b", "c"])
    assert list(nested) == ["a", "b"]
    assert list(nested["b"].items()) == [("many", 5), ("few", 1)]
