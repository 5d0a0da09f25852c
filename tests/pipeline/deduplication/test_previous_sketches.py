"""Stored sketches of earlier runs, and the audit's search for near duplicates."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.deduplication.sketch import PUBLISHED_SKETCH
from pipeline.errors import UserError
from tests.pipeline.deduplication.near_pairs import find_near_duplicates
from tests.pipeline.deduplication.staging import OPTIONS, document, row, run, write


def text(seed: int, length: int = 200) -> str:
    return " ".join(random.Random(seed).choices([f"word{i}" for i in range(2000)], k=length))


def publish(folder, documents, settings=None):
    """A sketches file as an earlier run would have left it."""
    settings = settings or DeduplicateSettings()
    rows = [{name: row(one, settings)[name] for name in PUBLISHED_SKETCH.names} for one in documents]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist(rows, PUBLISHED_SKETCH), folder / f"part-{len(list(folder.iterdir())):05d}.parquet"
    )
    return str(folder)


@pytest.mark.parametrize("how", ["url", "text", "near"])
def test_what_an_earlier_run_has_published_is_dropped(tmp_path, how):
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
    # A mirror of the new version of an old URL is news; a copy of a known text is not.
    assert verdicts[copy.id].survivor == (None if how == "url" else old.id)
    assert summary["dropped"] == {"already_published": 1 if how == "url" else 2}
    assert summary["documents"] == 3


def test_pages_that_changed_may_come_again(tmp_path):
    old = document("old", text(1))
    new = document("new", text(2), url=old.url)
    folder = publish(tmp_path / "sketches", [old])
    verdicts, _ = run([[new]], tmp_path, DeduplicateSettings(previous_sketches=(folder,), previous_urls=False))
    assert verdicts[new.id].kept


def test_earlier_documents_are_not_judged(tmp_path):
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


def test_the_audit_finds_each_pair_once(tmp_path):
    same = [document(f"{i}", text(1) + f" tail {i}") for i in range(3)]
    publish(tmp_path / "sketches", [same[0], document("x", text(2)), document("y", "tiny")])
    folder = publish(tmp_path / "sketches", same[1:])
    paths = sorted(str(path) for path in (tmp_path / "sketches").iterdir())
    assert folder
    found = list(find_near_duplicates(paths, DeduplicateSettings()))
    pairs = {frozenset(pair[:2]) for pair in found}
    assert len(found) == 3
    assert pairs == {frozenset({same[i].id, same[j].id}) for i, j in [(0, 1), (0, 2), (1, 2)]}
    assert all(value >= 0.9 for *_, value in found)


def test_the_audit_finds_nothing_after_a_run(tmp_path):
    documents = [document(f"{i}", f"{text(i % 5)} tail number {i}", quality_score=i / 40) for i in range(40)]
    verdicts, summary = run([documents[:20], documents[20:]], tmp_path)
    assert summary["kept"] < 40
    folder = tmp_path / "sketches"
    publish(folder, [one for one in documents if verdicts[one.id].kept])
    assert list(find_near_duplicates([str(path) for path in folder.iterdir()], DeduplicateSettings())) == []


def test_a_sampled_audit_sees_a_share_of_the_buckets(tmp_path):
    pairs = [document(f"{i}-{j}", text(i) + f" tail {j}") for i in range(30) for j in range(2)]
    folder = tmp_path / "sketches"
    publish(folder, pairs)
    paths = [str(path) for path in folder.iterdir()]
    assert len(list(find_near_duplicates(paths, DeduplicateSettings()))) == 30
    assert list(find_near_duplicates(paths, DeduplicateSettings(), share=0.0)) == []
    assert 0 < len(list(find_near_duplicates(paths, DeduplicateSettings(), share=0.03))) < 30
