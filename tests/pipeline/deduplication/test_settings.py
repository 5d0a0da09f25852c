"""Settings that contradict each other."""

from __future__ import annotations

import pytest

from pipeline.deduplication.settings import DeduplicateSettings


def test_min_words_left_must_not_exceed_paragraph_words():
    with pytest.raises(ValueError, match="must not exceed paragraph_words"):
        DeduplicateSettings(min_words_left=60, paragraph_words=50)
