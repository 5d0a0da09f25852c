"""Whole runs of phase 2 on Beam's local runner, beside a brute-force oracle."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.deduplicate import run_deduplicate
from pipeline.deduplication.duplicate_counts import TooMuchLostError
from pipeline.deduplication.settings import DeduplicateSettings, DuplicateReason
from pipeline.deduplication.sketch import sketch_columns
from pipeline.deduplication.verdicts import read_verdicts
from tests.pipeline.deduplication.staging import OPTIONS, document, judged, oracle, row, run, write

WORDS = [f"word{i}" for i in range(2000)]


def text(seed: int, length: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def edited(original: str, changes: int, seed: int) -> str:
    words, r = original.split(), random.Random(seed)
    for _ in range(changes):
        words[r.randrange(len(words))] = r.choice(WORDS)
    return " ".join(words)


# --- reasons ---


def test_one_url_twice_keeps_the_better_page(tmp_path):
    worse = document("a", text(1), quality_score=0.2, url="https://www.example.org/page/?utm_source=x")
    better = document("b", text(2), quality_score=0.9, url="http://example.org/page")
    verdicts, summary = run([[worse], [better]], tmp_path)
    assert verdicts[worse.id].reason == DuplicateReason.SAME_URL
    assert verdicts[worse.id].survivor == better.id
    assert verdicts[better.id].kept
    assert verdicts[better.id].duplicates == 1
    assert summary["dropped"] == {"same_url": 1}
    assert (summary["documents"], summary["kept"]) == (2, 1)


def test_one_text_under_two_urls(tmp_path):
    one, other = document("a", text(1)), document("b", text(1).upper() + "!", quality_score=0.1)
    verdicts, _ = run([[one, other]], tmp_path)
    assert verdicts[one.id].reason == DuplicateReason.SAME_TEXT
    assert verdicts[one.id].survivor == other.id


def test_near_duplicates_name_survivor_similarity_and_threshold(tmp_path):
    one, other = document("a", text(1), quality_score=0.5), document("b", edited(text(1), 3, 0), quality_score=0.4)
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


def test_too_little_left_after_lines_were_taken_out(tmp_path):
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


def test_keep_none_drops_all_copies(tmp_path):
    one, other, third = document("a", text(1)), document("b", text(1)), document("c", text(2))
    verdicts, summary = run([[one, other], [third]], tmp_path, DeduplicateSettings(keep="none"))
    reasons = {verdicts[one.id].reason, verdicts[other.id].reason}
    assert reasons == {DuplicateReason.SAME_TEXT, DuplicateReason.HAS_DUPLICATES}
    assert verdicts[third.id].kept
    assert all(verdict.survivor is None for verdict in verdicts.values())
    assert summary["kept"] == 1


# --- which copy survives ---


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


def test_a_mirror_of_an_older_version_of_a_page_is_not_lost_with_it(tmp_path):
    old = document("old", text(1), url="http://example.org/x", quality_score=0.5)
    new = document("new", text(2), url="http://example.org/x", quality_score=0.9)
    mirror = document("mirror", text(1), host="other.net", quality_score=0.1)
    verdicts, _ = run([[old, new], [mirror]], tmp_path)
    assert verdicts[old.id].survivor == new.id
    assert verdicts[mirror.id].kept


def test_chains_end_in_a_kept_document(tmp_path):
    root = document("root", text(1), quality_score=0.9)
    near = document("near", edited(text(1), 2, 0), quality_score=0.8)
    copy = document("copy", near.text, quality_score=0.7)
    again = document("again", text(7), url=copy.url, quality_score=0.6)
    verdicts, _ = run([[again], [copy], [near], [root]], tmp_path)
    assert [verdicts[d.id].survivor for d in (near, copy, again)] == [root.id] * 3
    assert [verdicts[d.id].reason for d in (near, copy, again)] == ["near_duplicate", "same_text", "same_url"]
    assert verdicts[root.id].duplicates == 3


# --- beside the oracle ---


def check_against_oracle(units, folder: Path, settings: DeduplicateSettings) -> None:
    paths = write(folder / "staged", units)
    run_deduplicate(paths, str(folder / "verdicts"), settings, OPTIONS)
    rows = [one for unit in units for one in unit]
    place_of = {one["id"]: place for place, one in enumerate(rows)}
    verdicts = [v for path in paths for v in read_verdicts(str(folder / "verdicts" / Path(path).name))]
    expected = oracle(units, settings)
    assert [v.reason for v in verdicts] == [expected[i][0] if i in expected else None for i in range(len(rows))]
    survivors = {i: place_of[v.survivor] for i, v in enumerate(verdicts) if not v.kept}
    for i, survivor in survivors.items():
        assert verdicts[survivor].kept
        # Its own leader, or the document that the leader (dropped itself) is a copy of.
        assert survivor in {survivors.get(leader, leader) for leader in expected[i][1]}
    assert [v.duplicates for v in verdicts] == [list(survivors.values()).count(i) for i in range(len(rows))]


def tangled_rows(seed: int, count: int, settings: DeduplicateSettings) -> list[dict]:
    """Rows with made-up sketches of few values: chains, crosses and crowds that real texts show once in a million."""
    r = random.Random(seed)
    rows = []
    for number in range(count):
        one = row(document(f"{seed}-{number}", f"t{number}", quality_score=r.randrange(4) / 4), settings)
        sketch = bytes(r.choices(range(3), k=settings.signature_rows))
        bands = [
            1 + 1000 * band + sum(v * 3**i for i, v in enumerate(sketch[band * settings.rows :][: settings.rows]))
            for band in range(settings.bands)
        ]
        rows.append({**one, "sketch": sketch, "bands": np.array(bands, "<u8").tobytes()})
        if r.random() < 0.2:
            rows[-1]["url_key"] = bytes([r.randrange(4)]) * 16
        if r.random() < 0.2:
            rows[-1]["text_key"] = bytes([r.randrange(8)]) * 16
    return rows


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rounds", [1, 3])
def test_tangled_groups_are_decided_as_by_one_patient_worker(tmp_path, seed, rounds):
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
def test_any_mixture_of_copies_is_decided_as_by_the_oracle(drawn):
    settings = DeduplicateSettings(paragraphs=False, boilerplate=False, max_loss=1)
    units: list[list[dict]] = [[], [], []]
    for number, (which, changes, url, quality, unit) in enumerate(drawn):
        one = document(
            str(number), edited(text(which), changes, number % 4), url=f"http://x.org/{url}", quality_score=quality
        )
        units[unit].append(row(one, settings))
    with TemporaryDirectory() as folder:
        check_against_oracle(units, Path(folder), settings)


# --- the same answer however the work is cut, and at the edges ---


def test_units_partitions_and_order_do_not_matter(tmp_path):
    documents = [
        document(f"{i}", "\n\n".join([text(i % 7, 80), edited(text(100 + i % 5), i % 4, i)]), quality_score=i % 3 / 3)
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
def test_two_processes_give_the_bytes_of_one(tmp_path, count):
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
def test_nothing_and_next_to_nothing(tmp_path, units):
    verdicts, summary = run(units, tmp_path)
    documents = sum(len(unit) for unit in units)
    assert (summary["documents"], summary["kept"], summary["dropped"]) == (documents, documents, {})
    assert len(verdicts) == documents


def test_losing_too_much_stops_the_run(tmp_path):
    documents = [document(str(i), text(1)) for i in range(10)]
    with pytest.raises(TooMuchLostError, match=r"would drop 9 of 10 documents .*raise deduplicate.max_loss"):
        run([documents], tmp_path, DeduplicateSettings(max_loss=0.5))


def test_losing_much_and_large_groups_are_warned_of(tmp_path):
    documents = [document(str(i), text(1)) for i in range(10)]
    _, summary = run([documents], tmp_path, DeduplicateSettings(warn_loss=0.5, warn_group=9))
    assert [w.split("(")[-1] for w in summary["warnings"]] == ["deduplicate.warn_loss)", "deduplicate.warn_group)"]
    assert summary["groups"] == [[9, min(d.id for d in documents)]]


def test_full_buckets_are_reported_and_nobody_is_dropped_unseen(tmp_path):
    settings = DeduplicateSettings(bands=2, rows=1, threshold=1.0, bucket_limit=3, max_loss=1)
    rows = [
        {**row(document(str(i), f"text {i}"), settings), "sketch": bytes([i, 0]), "bands": bytes(16)} for i in range(8)
    ]
    verdicts, summary = judged(write(tmp_path / "s", [rows]), tmp_path / "v", settings)
    assert all(verdict.kept for verdict in verdicts.values())
    assert summary["full_buckets"] == 5
    assert "deduplicate.bucket_limit" in summary["warnings"][0]


@pytest.mark.parametrize("off", [None, "exact_url", "exact_text", "near", "paragraphs", "boilerplate"])
def test_each_test_can_be_switched_off(tmp_path, off):
    settings = DeduplicateSettings(**{off: False} if off else {})
    page = document("page", f"{text(1, 60)}\n\n{text(2)}", quality_score=0.9)
    site = [document(f"b{i}", f"Our Site\n\n{text(20 + i)}") for i in range(4)]
    url = document("u", text(3), url=page.url)
    short = document("t", "far too short", quality_score=0.9)  # for shingles: only the exact test can find its copy
    copy = document("tt", short.text)
    near = document("n", edited(text(20), 2, 0), host="other.net")
    third = document("p", f"{text(1, 60)}\n\n{text(4)}", host="third.net")
    verdicts, summary = run([[page, *site, short], [url, copy, near, third]], tmp_path, settings)
    reasons = {"exact_url": "same_url", "exact_text": "same_text", "near": "near_duplicate"}
    assert summary["dropped"] == {reason: 1 for name, reason in reasons.items() if name != off}
    assert verdicts[third.id].remove == (() if off == "paragraphs" else (0,))
    assert verdicts[site[1].id].remove == (() if off == "boilerplate" else (0,))


def test_text_could_be_lost_if_less_was_kept_than_a_long_paragraph():
    with pytest.raises(ValueError, match="must not exceed paragraph_words"):
        DeduplicateSettings(min_words_left=60, paragraph_words=50)


def test_sketches_of_another_shape_are_refused(tmp_path):
    paths = write(tmp_path, [[row(document("a", text(1)), DeduplicateSettings(bands=5))]])
    with pytest.raises(Exception, match=r"sketches are not of 24 bands of 6 rows"):
        run_deduplicate(paths, str(tmp_path / "v"), DeduplicateSettings(), OPTIONS)


def test_sketching_reads_nothing_but_the_document():
    one = document("a", text(1))
    assert sketch_columns(one, DeduplicateSettings()) == sketch_columns(one, DeduplicateSettings())
