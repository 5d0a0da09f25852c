"""Documents that have too few words left once repeated lines are removed."""

from __future__ import annotations

from pipeline.deduplication.settings import DuplicateReason
from tests.pipeline.deduplication.staging import document, run, text


def test_too_little_left_after_lines_were_removed(tmp_path):
    boilerplate = "Subscribe to our weekly newsletter and never miss another story again"
    best = document("best", f"{boilerplate}\n\n{text(8, 60)}", quality_score=0.9)
    pages = [best, *(document(f"p{i}", f"{boilerplate}\n\n{text(i, 60)}") for i in range(3))]
    short = document("short", f"{boilerplate}\n\n{text(9, 25)}")
    verdicts, summary = run([[*pages, short]], tmp_path)
    assert verdicts[short.id].reason == DuplicateReason.TOO_LITTLE_LEFT
    assert (verdicts[short.id].value, verdicts[short.id].threshold) == (25.0, 30.0)
    assert verdicts[short.id].survivor is None
    assert [verdicts[page.id].remove for page in pages] == [(), (0,), (0,), (0,)]
    assert summary["lines_removed"] == 3


def test_a_document_that_represents_others_is_not_dropped_for_too_few_words(tmp_path):
    quoted = text(0, 60)
    best = document("best", f"{quoted}\n\n{text(1)}", quality_score=0.9)
    represents = document("represents", f"{quoted}\n\n{text(2, 20)}", quality_score=0.5)
    copy = document("copy", represents.text, quality_score=0.1)
    alone = document("alone", f"{quoted}\n\n{text(3, 20)}", quality_score=0.5)
    verdicts, _ = run([[best, represents, copy, alone]], tmp_path)
    assert verdicts[represents.id].kept
    assert verdicts[represents.id].remove == ()
    assert verdicts[alone.id].reason == "too_little_left"
    assert verdicts[copy.id].survivor == represents.id
