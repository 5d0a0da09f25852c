"""Near duplicates: what is found, and the same decisions as by the sequential algorithm."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.near import FULL_BUCKET, NEAR, BucketParcel, find_duplicates_greedily, find_matches
from pipeline.deduplication.records import NO_LEADER, RANKED
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from tests.pipeline.deduplication.near_pairs import find_near_duplicates
from tests.pipeline.deduplication.oracle import check_against_oracle, tangled_rows
from tests.pipeline.deduplication.staging import (
    OPTIONS,
    deduplicate_files,
    document,
    edit_words,
    publish,
    row,
    run,
    text,
    write,
)


def test_verdicts_have_survivor_similarity_and_threshold(tmp_path):
    one, other = document("a", text(1), quality_score=0.5), document("b", edit_words(text(1), 3, 0), quality_score=0.4)
    verdicts, _ = run([[one], [other], [document("c", text(2))]], tmp_path)
    verdict = verdicts[other.id]
    assert (verdict.reason, verdict.survivor) == (DuplicateReason.NEAR_DUPLICATE, one.id)
    assert verdict.threshold == DeduplicateSettings().threshold
    assert verdict.value == pytest.approx(0.85, abs=0.12)
    assert sum(v.kept for v in verdicts.values()) == 2


def test_chinese_near_duplicates_are_found(tmp_path):
    r = random.Random(3)
    original = "".join(chr(r.randrange(0x4E00, 0x9FA5)) for _ in range(400))
    changed = original[:200] + "新" + original[201:]
    _, summary = run([[document("a", original), document("b", changed)]], tmp_path)
    assert summary["dropped"] == {"near_duplicate": 1}


def test_texts_shorter_than_a_shingle_do_not_collapse(tmp_path):
    _, summary = run([[document(str(i), f"tiny {i}") for i in range(20)]], tmp_path)
    assert summary["kept"] == 20


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rounds", [1, 3])
def test_tangled_groups_are_decided_as_by_the_sequential_algorithm(tmp_path, seed, rounds):
    settings = DeduplicateSettings(
        bands=4,
        rows=2,
        threshold=0.5,
        rounds=rounds,
        paragraphs=False,
        boilerplate=False,
        partition_bytes=7000,
        max_loss=1,
    )
    rows = tangled_rows(seed, 120, settings)
    check_against_oracle([rows[:50], [], rows[50:51], rows[51:]], tmp_path, settings)


def test_full_buckets_are_reported_and_documents_not_compared_are_kept(tmp_path):
    settings = DeduplicateSettings(bands=2, rows=1, threshold=1.0, bucket_limit=3, max_loss=1)
    rows = [
        {**row(document(str(i), f"text {i}"), settings), "sketch": bytes([i, 0]), "bands": bytes(16)} for i in range(8)
    ]
    verdicts, summary = deduplicate_files(write(tmp_path / "s", [rows]), tmp_path / "v", settings)
    assert all(verdict.kept for verdict in verdicts.values())
    assert summary["full_buckets"] == 5
    assert "deduplicate.bucket_limit" in summary["warnings"][0]


def one_bucket(sketches: Sequence[int], preference: int, settings: DeduplicateSettings) -> BucketParcel:
    """Documents of one bucket, each with a sketch of one repeated value."""
    documents = np.zeros(len(sketches), [*RANKED, ("sketch", "u1", settings.signature_rows)])
    documents["preference"], documents["document"] = preference, np.arange(len(sketches)) + preference * 1000
    documents["sketch"] = np.array(sketches, "u1")[:, None]
    return (
        documents.tobytes(),
        np.zeros(len(sketches), "<u8").tobytes(),
        np.arange(len(sketches), dtype="<u4").tobytes(),
    )


def test_previous_documents_count_toward_the_bucket_limit():
    settings = DeduplicateSettings(bands=2, rows=1, threshold=1.0, bucket_limit=3)
    parcels = [one_bucket([10, 11, 12, 13], 0, settings), one_bucket([10, 13, 14], 1, settings)]
    found = find_matches(settings, parcels)
    assert found[["document", "leader"]].tolist() == [(1000, 0), (1001, int(NO_LEADER)), (1002, int(NO_LEADER))]
    assert found["reason"].tolist() == [NEAR, FULL_BUCKET, FULL_BUCKET]


def test_the_sequential_algorithm_keeps_the_bucket_limit():
    settings = DeduplicateSettings(bands=2, rows=1, threshold=1.0, bucket_limit=3)
    found = find_duplicates_greedily(settings, [one_bucket([10, 11, 12, 13, 13, 11], 1, settings)])
    assert found["document"].tolist() == [1003, 1004, 1005]
    assert found["reason"].tolist() == [FULL_BUCKET, FULL_BUCKET, NEAR]


def test_sketches_of_another_shape_are_refused(tmp_path):
    paths = write(tmp_path, [[row(document("a", text(1)), DeduplicateSettings(bands=5))]])
    with pytest.raises(Exception, match=r"sketches are not of 24 bands of 6 rows"):
        run_deduplicate(paths, str(tmp_path / "v"), DeduplicateSettings(), OPTIONS)


def test_no_two_kept_documents_match(tmp_path):
    documents = [document(f"{i}", f"{text(i % 5)} tail number {i}", quality_score=i / 40) for i in range(40)]
    verdicts, summary = run([documents[:20], documents[20:]], tmp_path)
    assert summary["kept"] < 40
    folder = tmp_path / "sketches"
    publish(folder, [one for one in documents if verdicts[one.id].kept])
    assert list(find_near_duplicates([str(path) for path in folder.iterdir()], DeduplicateSettings())) == []
