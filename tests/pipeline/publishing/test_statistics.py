from __future__ import annotations

from collections import Counter

from pipeline.publishing.statistics import Facts, most_common


def kept(**changes):
    row = {"words": 5, "characters": 30, "duplicates": 2, "language": "en", "registered_domain": "a.org"}
    return {**row, "quality_score": 0.5, "signals": {"pii_email": 2.0, "tables": None, "code": 0.0}, **changes}


def test_every_row_is_counted_once():
    facts = Facts()
    facts.keep(kept())
    facts.keep(kept(language="de", quality_score=1.0))
    facts.drop({"stage": "s", "reason": "r", "registered_domain": None, "signals": None})
    facts.drop({"stage": "s", "reason": "r", "registered_domain": None, "signals": {"charset_step": 2.0}})
    assert facts.kept == {"documents": 2, "words": 10, "characters": 60, "duplicates": 4}
    assert facts.languages == {"en": 1, "de": 1}
    assert facts.quality == {"0.50": 1, "0.95": 1}
    assert facts.group_sizes == {"3": 2}
    assert facts.signals == {"pii_email": 4.0}
    assert facts.signal_documents == {"pii_email": 2}
    assert facts.dropped == {"s:r": 2}
    assert facts.charset_steps == {"meta": 1}


def test_messages_of_stages_that_failed_are_counted_and_no_others():
    facts = Facts()
    for reason, detail in [("crashed", "out of memory"), ("extraction_error", "NameError: x" * 50), ("no_text", "y")]:
        row = {"stage": "extract_text", "reason": reason, "detail": detail, "registered_domain": "", "signals": None}
        facts.drop(row)
        facts.drop(row)
    assert facts.failures == {"out of memory": 2, ("NameError: x" * 50)[:200]: 2}
    assert Facts.from_json(facts.to_json()) == facts


def test_facts_add_up_over_parts_and_survive_json():
    one, two, both = Facts(), Facts(), Facts()
    for part in (one, two):
        part.keep(kept())
        both.keep(kept())
    one.add(Facts.from_json(two.to_json()))
    assert one == both


def test_what_is_beyond_the_limit_is_added_up():
    assert most_common(Counter(a=3, b=2, c=2, d=1), 2) == [("a", 3), ("b", 2), ("other", 3)]
    assert most_common(Counter(a=3), 2) == [("a", 3)]
