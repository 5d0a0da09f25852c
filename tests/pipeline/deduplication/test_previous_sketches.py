"""Stored sketches of previous runs: their documents are dropped, and unusable files are refused."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.errors import UserError
from tests.pipeline.deduplication.staging import OPTIONS, document, publish, run, text, write


@pytest.mark.parametrize("how", ["url", "text", "near"])
def test_documents_of_a_previous_run_are_dropped(tmp_path, how):
    old = document("old", text(1), quality_score=0.0)
    new = {
        "url": document("new", text(2), url=old.url, quality_score=0.9),
        "text": document("new", old.text, quality_score=0.9),
        "near": document("new", old.text + " with five more words at the end", quality_score=0.9),
    }[how]
    copy = document("copy", new.text, quality_score=0.5)
    other = document("other", text(3))
    folder = publish(tmp_path / "sketches", [old])
    verdicts, summary = run(
        [[new, other], [copy]], tmp_path, DeduplicateSettings(previous_sketches=(folder,), max_loss=0)
    )
    assert (verdicts[new.id].reason, verdicts[new.id].survivor) == (DuplicateReason.ALREADY_PUBLISHED, old.id)
    assert (verdicts[new.id].value is not None) == (how == "near")
    assert verdicts[other.id].kept
    # A mirror of the new version of an old URL is new text; a duplicate of a known text is not.
    assert verdicts[copy.id].survivor == (None if how == "url" else old.id)
    assert summary["dropped"] == {"already_published": 1 if how == "url" else 2}
    assert summary["documents"] == 3


def test_changed_pages_are_kept_with_previous_urls_off(tmp_path):
    old = document("old", text(1))
    new = document("new", text(2), url=old.url)
    folder = publish(tmp_path / "sketches", [old])
    verdicts, _ = run([[new]], tmp_path, DeduplicateSettings(previous_sketches=(folder,), previous_urls=False))
    assert verdicts[new.id].kept


def test_previous_documents_get_no_verdicts(tmp_path):
    folder = publish(tmp_path / "sketches", [document("a", text(1)), document("b", text(1))])
    new = document("new", text(1))
    verdicts, summary = run([[new]], tmp_path, DeduplicateSettings(previous_sketches=(folder,)))
    assert list(verdicts) == [new.id]
    assert summary["dropped"] == {"already_published": 1}


def test_a_folder_without_sketches_is_refused(tmp_path):
    paths = write(tmp_path / "staged", [[]])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no .parquet file in .*empty; name the folder OUT/sketches"):
        run_deduplicate(
            paths, str(tmp_path / "v"), DeduplicateSettings(previous_sketches=(str(tmp_path / "empty"),)), OPTIONS
        )


def test_other_parquet_files_are_refused(tmp_path):
    paths = write(tmp_path / "staged", [[]])
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.table({"id": ["x"], "text": ["y"]}), tmp_path / "shards" / "part.parquet")
    with pytest.raises(UserError, match=r"no column url_key; .* needs OUT/sketches, not shards"):
        run_deduplicate(
            paths, str(tmp_path / "v"), DeduplicateSettings(previous_sketches=(str(tmp_path / "shards"),)), OPTIONS
        )


def test_sketches_of_another_shape_are_refused(tmp_path):
    folder = publish(
        tmp_path / "sketches", [document("a", "short"), document("b", text(1))], DeduplicateSettings(bands=5)
    )
    paths = write(tmp_path / "staged", [[]])
    with pytest.raises(UserError, match=r"made with 5 bands of 6 rows, this run has 24 of 6"):
        run_deduplicate(paths, str(tmp_path / "v"), DeduplicateSettings(previous_sketches=(folder,)), OPTIONS)
