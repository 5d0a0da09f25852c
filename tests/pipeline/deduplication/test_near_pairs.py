"""The search for near pairs that test_near.py relies on."""

from __future__ import annotations

from pipeline.deduplication.settings import DeduplicateSettings
from tests.pipeline.deduplication.near_pairs import find_near_duplicates
from tests.pipeline.deduplication.staging import document, publish, text


def test_each_pair_is_found_once(tmp_path):
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


def test_a_sample_examines_a_share_of_the_buckets(tmp_path):
    pairs = [document(f"{i}-{j}", text(i) + f" tail {j}") for i in range(30) for j in range(2)]
    folder = tmp_path / "sketches"
    publish(folder, pairs)
    paths = [str(path) for path in folder.iterdir()]
    assert len(list(find_near_duplicates(paths, DeduplicateSettings()))) == 30
    assert list(find_near_duplicates(paths, DeduplicateSettings(), share=0.0)) == []
    assert 0 < len(list(find_near_duplicates(paths, DeduplicateSettings(), share=0.03))) < 30
