"""Chains of links, and the documents at their ends."""

from __future__ import annotations

from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from tests.pipeline.deduplication.staging import document, edit_words, run, text


def test_chains_end_in_a_kept_document(tmp_path):
    root = document("root", text(1), quality_score=0.9)
    near = document("near", edit_words(text(1), 2, 0), quality_score=0.8)
    copy = document("copy", near.text, quality_score=0.7)
    again = document("again", text(7), url=copy.url, quality_score=0.6)
    verdicts, _ = run([[again], [copy], [near], [root]], tmp_path)
    assert [verdicts[d.id].survivor for d in (near, copy, again)] == [root.id] * 3
    assert [verdicts[d.id].reason for d in (near, copy, again)] == ["near_duplicate", "same_text", "same_url"]
    assert verdicts[root.id].duplicates == 3


def test_keep_none_drops_all_duplicates(tmp_path):
    one, other, third = document("a", text(1)), document("b", text(1)), document("c", text(2))
    verdicts, summary = run([[one, other], [third]], tmp_path, DeduplicateSettings(keep="none"))
    reasons = {verdicts[one.id].reason, verdicts[other.id].reason}
    assert reasons == {DuplicateReason.SAME_TEXT, DuplicateReason.HAS_DUPLICATES}
    assert verdicts[third.id].kept
    assert all(verdict.survivor is None for verdict in verdicts.values())
    assert summary["kept"] == 1
