"""score_quality: scores are stored, the threshold and the share kept below it, and unusable models."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from classifiers.artifacts import default_folder
from classifiers.errors import UserError
from pipeline.documents import Document, Dropped
from pipeline.stages.score_quality import ScoreQualityReason, ScoreQualitySettings, build, files

DOCUMENT = Document(
    "0" * 32, "u", "t", "f", 0, "h", "h", "", "The river bends here and the mill stands beside it. " * 9
)


def test_the_score_is_stored_and_nothing_is_dropped_by_default():
    scored = build(ScoreQualitySettings())(DOCUMENT)
    assert isinstance(scored, Document)
    assert 0 < scored.quality_score < 1
    assert 0 < scored.education_score < 5
    assert build(ScoreQualitySettings())(DOCUMENT) == scored


def test_below_the_threshold_is_a_drop_with_score_and_limit():
    dropped = build(ScoreQualitySettings(min_score=1.0))(DOCUMENT)
    assert isinstance(dropped, Dropped)
    assert (dropped.stage, dropped.reason, dropped.threshold) == ("score_quality", ScoreQualityReason.LOW_QUALITY, 1.0)
    assert dropped.value is not None
    assert dropped.value < 1


def test_too_little_to_learn_is_a_drop_with_score_and_limit():
    dropped = build(ScoreQualitySettings(min_education=5))(DOCUMENT)
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.threshold) == (ScoreQualityReason.LOW_EDUCATION, 5)
    assert dropped.value == build(ScoreQualitySettings())(DOCUMENT).education_score


def test_what_the_extraction_says_of_a_page_counts_if_it_is_wanted():
    """An article that was extracted with certainty scores higher than the same text out of a product page."""
    certain = {"page_type": 1.0, "expected_f1": 0.97, "kept_share": 0.6, "dom_nodes": 900.0, "html_bytes": 60_000.0}
    doubtful = {**certain, "page_type": 6.0, "expected_f1": 0.5, "kept_share": 0.1}
    for wanted in (False, True):
        stage = build(ScoreQualitySettings(page_signals=wanted))
        scores = [stage(replace(DOCUMENT, signals=signals)).quality_score for signals in (certain, doubtful)]
        assert (scores[0] > scores[1]) == wanted


def test_a_share_of_low_scorers_is_kept_by_id():
    stage = build(ScoreQualitySettings(min_score=1.0, low_keep_share=0.25))
    ids = [f"{number:08x}".ljust(32, "0") for number in range(0, 1 << 32, 1 << 24)]
    spared = [name for name in ids if isinstance(stage(replace(DOCUMENT, id=name)), Document)]
    assert spared == ids[: len(ids) // 4]


def test_a_model_whose_bytes_were_changed_is_refused(tmp_path):
    folder = tmp_path / "quality"
    shutil.copytree(default_folder("quality"), folder)
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match=largest.name):
        build(ScoreQualitySettings(model=folder))


def test_a_missing_model_is_an_error_with_its_path(tmp_path):
    with pytest.raises(UserError, match="no such model folder"):
        files(ScoreQualitySettings(model=tmp_path / "nowhere"))
