"""Whole runs of deduplication on Beam's local runner, compared with a brute-force oracle."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from tests.pipeline.deduplication.oracle import check_against_oracle
from tests.pipeline.deduplication.staging import OPTIONS, document, edit_words, row, run, text, write

document_lists = st.lists(
    st.tuples(
        st.integers(0, 3),  # which text
        st.sampled_from([0, 0, 2, 6, 12]),  # how many words are changed
        st.integers(0, 9),  # which URL
        st.sampled_from([0.0, 0.5, 0.9]),
        st.integers(0, 2),  # unit
    ),
    max_size=25,
)


@hypothesis_settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document_lists)
def test_any_mixture_of_duplicates_is_decided_as_by_the_oracle(drawn):
    settings = DeduplicateSettings(paragraphs=False, boilerplate=False, max_loss=1)
    units: list[list[dict]] = [[], [], []]
    for number, (which, changes, url, quality, unit) in enumerate(drawn):
        one = document(
            str(number), edit_words(text(which), changes, number % 4), url=f"http://x.org/{url}", quality_score=quality
        )
        units[unit].append(row(one, settings))
    with TemporaryDirectory() as folder:
        check_against_oracle(units, Path(folder), settings)


def test_units_partitions_and_order_do_not_matter(tmp_path):
    documents = [
        document(
            f"{i}", "\n\n".join([text(i % 7, 80), edit_words(text(100 + i % 5), i % 4, i)]), quality_score=i % 3 / 3
        )
        for i in range(40)
    ]
    shuffled = random.Random(0).sample(documents, len(documents))
    answers = [
        run([documents], tmp_path / "a"),
        run(
            [shuffled[:3], shuffled[3:30], [], shuffled[30:]], tmp_path / "b", DeduplicateSettings(partition_bytes=2000)
        ),
        run([shuffled[::2], shuffled[1::2]], tmp_path / "c", DeduplicateSettings(rounds=5)),
    ]
    assert answers[0][0] == answers[1][0] == answers[2][0]
    assert answers[0][1] == answers[1][1] == answers[2][1]
    assert answers[0][1]["lines_removed"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 30])
def test_two_processes_write_the_same_bytes_as_one(tmp_path, count):
    documents = [
        row(document(f"{i}", f"Our Site\n\n{text(i % 7, 80)} tail {i}", quality_score=i / 40), DeduplicateSettings())
        for i in range(count)
    ]
    paths = write(tmp_path / "staged", [documents[::2], documents[1::2]])
    two = [*OPTIONS, "--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    summaries = [
        run_deduplicate(paths, str(tmp_path / str(i)), DeduplicateSettings(), o) for i, o in enumerate((OPTIONS, two))
    ]
    assert summaries[0] == summaries[1]
    for path in paths:
        one, other = ((tmp_path / str(i) / Path(path).name).read_bytes() for i in range(2))
        assert one == other


@pytest.mark.parametrize("units", [[], [[]], [[], []], [[document("a", "")]], [[document("a", text(1))]]])
def test_no_documents_and_single_documents(tmp_path, units):
    verdicts, summary = run(units, tmp_path)
    documents = sum(len(unit) for unit in units)
    assert (summary["documents"], summary["kept"], summary["dropped"]) == (documents, documents, {})
    assert len(verdicts) == documents


def test_reads_of_a_unit_do_not_depend_on_the_number_of_units(tmp_path, monkeypatch):
    reads = Counter()
    columns = StagedUnit.columns

    def count(unit, names):
        reads[unit.path] += 1
        return columns(unit, names)

    monkeypatch.setattr(StagedUnit, "columns", count)
    for units in (2, 8):
        documents = [[document(f"{unit}-{i}", text(i) + f" tail {unit}") for i in range(3)] for unit in range(units)]
        run(documents, tmp_path / str(units))
    assert len(reads) == 10
    assert max(reads.values()) <= 15


@pytest.mark.parametrize("off", [None, "exact_url", "exact_text", "near", "paragraphs", "boilerplate"])
def test_each_comparison_can_be_switched_off(tmp_path, off):
    settings = DeduplicateSettings(**{off: False} if off else {})
    page = document("page", f"{text(1, 60)}\n\n{text(2)}", quality_score=0.9)
    site = [document(f"b{i}", f"Our Site\n\n{text(20 + i)}") for i in range(4)]
    url = document("u", text(3), url=page.url)
    short = document("t", "far too short", quality_score=0.9)  # for shingles: only the exact test finds its duplicate
    copy = document("tt", short.text)
    near = document("n", edit_words(text(20), 2, 0), host="other.net")
    third = document("p", f"{text(1, 60)}\n\n{text(4)}", host="third.net")
    verdicts, summary = run([[page, *site, short], [url, copy, near, third]], tmp_path, settings)
    reasons = {"exact_url": "same_url", "exact_text": "same_text", "near": "near_duplicate"}
    assert summary["dropped"] == {reason: 1 for name, reason in reasons.items() if name != off}
    assert verdicts[third.id].remove == (() if off == "paragraphs" else (0,))
    assert verdicts[site[1].id].remove == (() if off == "boilerplate" else (0,))
