"""Statistics of published rows: counting and adding."""

from __future__ import annotations

from collections import Counter

from pipeline.publishing.statistics import Statistics, most_common


def kept(**changes):
    row = {"words": 5, "characters": 30, "duplicates": 2, "language": "en", "registered_domain": "a.org"}
    return {
        **row,
        "quality_score": 0.5,
        "education_score": 1.2,
        "signals": {"pii_email": 2.0, "tables": None, "code": 0.0},
        **changes,
    }


def test_every_row_is_counted_once():
    statistics = Statistics()
    statistics.keep(kept())
    statistics.keep(kept(language="de", quality_score=1.0))
    statistics.drop({"stage": "s", "reason": "r", "registered_domain": None, "signals": None})
    statistics.drop({"stage": "s", "reason": "r", "registered_domain": None, "signals": {"charset_step": 2.0}})
    assert statistics.kept == {"documents": 2, "words": 10, "characters": 60, "duplicates": 4}
    assert statistics.languages == {"en": 1, "de": 1}
    assert statistics.quality == {"0.50": 1, "0.95": 1}
    assert statistics.group_sizes == {"3": 2}
    assert statistics.signals == {"pii_email": 4.0}
    assert statistics.signal_documents == {"pii_email": 2}
    assert statistics.dropped == {"s:r": 2}
    assert statistics.charset_steps == {"meta": 1}


def test_only_messages_of_failed_stages_are_counted():
    statistics = Statistics()
    for stage, reason, detail in [
        ("page_process", "crashed", "out of memory"),
        ("extract_text", "extraction_error", "NameError: x" * 50),
        ("extract_text", "no_text", "y"),
    ]:
        row = {"stage": stage, "reason": reason, "detail": detail, "registered_domain": "", "signals": None}
        statistics.drop(row)
        statistics.drop(row)
    assert statistics.failures == {"out of memory": 2, ("NameError: x" * 50)[:200]: 2}
    assert Statistics.from_json(statistics.to_json()) == statistics


def test_statistics_add_up_over_parts_and_survive_json():
    one, two, both = Statistics(), Statistics(), Statistics()
    for part in (one, two):
        part.keep(kept())
        both.keep(kept())
    one.add(Statistics.from_json(two.to_json()))
    assert one == both


def test_counts_beyond_the_limit_are_added_up():
    assert most_common(Counter(a=3, b=2, c=2, d=1), 2) == [("a", 3), ("b", 2), ("other", 3)]
    assert most_common(Counter(a=3), 2) == [("a", 3)]
