"""Exact duplicates, by URL and by text, in whole runs."""

from __future__ import annotations

from pipeline.deduplication.settings import DuplicateReason
from tests.pipeline.deduplication.staging import document, run, text


def test_one_url_twice_keeps_the_better_page(tmp_path):
    worse = document("a", text(1), quality_score=0.2, url="https://www.example.org/page/?utm_source=x")
    better = document("b", text(2), quality_score=0.9, url="http://example.org/page")
    verdicts, summary = run([[worse], [better]], tmp_path)
    assert verdicts[worse.id].reason == DuplicateReason.SAME_URL
    assert verdicts[worse.id].survivor == better.id
    assert verdicts[better.id].kept
    assert verdicts[better.id].duplicates == 1
    assert summary["dropped"] == {"same_url": 1}
    assert (summary["documents"], summary["kept"]) == (2, 1)


def test_one_text_under_two_urls(tmp_path):
    one, other = document("a", text(1)), document("b", text(1).upper() + "!", quality_score=0.1)
    verdicts, _ = run([[one, other]], tmp_path)
    assert verdicts[one.id].reason == DuplicateReason.SAME_TEXT
    assert verdicts[one.id].survivor == other.id


def test_a_mirror_of_an_older_version_of_a_page_is_not_lost_with_it(tmp_path):
    old = document("old", text(1), url="http://example.org/x", quality_score=0.5)
    new = document("new", text(2), url="http://example.org/x", quality_score=0.9)
    mirror = document("mirror", text(1), host="other.net", quality_score=0.1)
    verdicts, _ = run([[old, new], [mirror]], tmp_path)
    assert verdicts[old.id].survivor == new.id
    assert verdicts[mirror.id].kept
