"""Which of several duplicates is the best."""

from __future__ import annotations

import pytest

from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.storage import DamagedFileError
from tests.pipeline.deduplication.staging import document, run, text


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"quality_score": 0.6}, {"quality_score": 0.5, "fetched_at": "2020-01-01T00:00:00Z"}),
        ({"text": text(1) + " ."}, {"text": text(1)}),  # longer, though the same text
        ({"fetched_at": "2025-01-01T00:00:00Z"}, {"fetched_at": "2025-01-01T00:00:01Z"}),
        ({"id": "0" * 32}, {"id": "0" * 31 + "1"}),
        ({"quality_score": 0.1}, {"quality_score": float("nan")}),
    ],
)
def test_quality_then_length_then_date_then_id(tmp_path, better, worse):
    kept, lost = document("k", **{"text": text(1), **better}), document("l", **{"text": text(1), **worse})
    for units in ([[kept], [lost]], [[lost], [kept]], [[lost, kept]]):
        verdicts, _ = run(units, tmp_path)
        assert verdicts[kept.id].kept
        assert verdicts[lost.id].survivor == kept.id


@pytest.mark.parametrize("source", ["good.org", "www.good.org", "curated"])
def test_preferred_sources_win_over_quality(tmp_path, source):
    mine = document("a", text(1), host="www.good.org", warc_file="curated/1.warc.gz", quality_score=0.1)
    other = document("b", text(1), quality_score=0.9)
    verdicts, _ = run([[mine, other]], tmp_path, DeduplicateSettings(prefer_source=("first.example", source)))
    assert verdicts[mine.id].kept


def test_a_domain_is_not_preferred_because_its_name_ends_alike(tmp_path):
    mine = document("a", text(1), host="www.notgood.org", quality_score=0.1)
    other = document("b", text(1), quality_score=0.9)
    verdicts, _ = run([[mine, other]], tmp_path, DeduplicateSettings(prefer_source=("good.org",)))
    assert verdicts[other.id].kept


def test_a_damaged_staged_file_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 half of a file")
    with pytest.raises(DamagedFileError, match=f"{path}: not a readable Parquet file"):
        StagedUnit(0, str(path)).columns(["id"])
