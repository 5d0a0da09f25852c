"""Limits on the share of documents dropped, and warnings."""

from __future__ import annotations

import pytest

from pipeline.deduplication.duplicate_counts import TooMuchLostError
from pipeline.deduplication.settings import DeduplicateSettings
from tests.pipeline.deduplication.staging import document, run, text


def test_a_loss_above_the_limit_fails_the_run(tmp_path):
    documents = [document(str(i), text(1)) for i in range(10)]
    with pytest.raises(TooMuchLostError, match=r"would drop 9 of 10 documents .*raise deduplicate.max_loss"):
        run([documents], tmp_path, DeduplicateSettings(max_loss=0.5))


def test_high_loss_and_large_groups_cause_warnings(tmp_path):
    documents = [document(str(i), text(1)) for i in range(10)]
    _, summary = run([documents], tmp_path, DeduplicateSettings(warn_loss=0.5, warn_group=9))
    assert [w.split("(")[-1] for w in summary["warnings"]] == ["deduplicate.warn_loss)", "deduplicate.warn_group)"]
    assert summary["groups"] == [[9, min(d.id for d in documents)]]
