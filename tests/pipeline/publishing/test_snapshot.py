from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
import time

import pyarrow.dataset as ds
import pytest

from pipeline.publishing.snapshot import LockedError, Snapshot, _take_over, latest_path, lock, newest
from tests.conftest import MINICRAWL

NAMES = ("CC-MAIN-2026-43", "CC-MAIN-2026-47")
FILES = ("minicrawl-00000.warc.gz", "minicrawl-00002.warc.gz")
ONE_WORKER = ("--workers", "1")


def rows(folder, column):
    return ds.dataset(folder).to_table(columns=[column])[column].to_pylist()


def complete(base, name, content_hash="x"):
    (base / name / "sketches").mkdir(parents=True)
    (base / name / "manifest.json").write_text(json.dumps({"content_hash": content_hash}))


def test_a_name_that_is_no_crawl_is_refused(tmp_path):
    with pytest.raises(ValueError, match="CC-MAIN-2026-43"):
        Snapshot("2026-43", str(tmp_path))


def test_only_complete_and_earlier_snapshots_count_as_previous(tmp_path):
    for name in ("CC-MAIN-2026-43", "CC-MAIN-2025-51", "CC-MAIN-2026-47", "notes"):
        complete(tmp_path, name)
    (tmp_path / "CC-MAIN-2026-38").mkdir()  # begun, not complete
    previous = Snapshot("CC-MAIN-2026-47", str(tmp_path)).previous_sketches()
    assert previous == tuple(str(tmp_path / name / "sketches") for name in ("CC-MAIN-2025-51", "CC-MAIN-2026-43"))


def test_latest_moves_only_over_a_manifest_and_never_back(tmp_path):
    new, old = Snapshot("CC-MAIN-2026-47", str(tmp_path)), Snapshot("CC-MAIN-2026-43", str(tmp_path))
    with pytest.raises(ValueError, match=r"manifest\.json"):
        new.publish()
    complete(tmp_path, new.name, "new")
    complete(tmp_path, old.name, "old")
    new.publish()
    old.publish()  # an old month done again
    assert json.loads((tmp_path / "latest.json").read_text()) == {"snapshot": new.name, "content_hash": "new"}
    assert latest_path(str(tmp_path)) == str(tmp_path / "latest.json")


def test_the_second_is_told_who_is_at_work(tmp_path):
    path = str(tmp_path / "a.lock")
    with lock(path), pytest.raises(LockedError, match=r"process \d+\) is at work"), lock(path):
        pass
    with lock(path):  # released
        pass
    assert not (tmp_path / "a.lock").exists()


def test_the_newest_crawl_of_a_mirror_and_of_an_index(tmp_path):
    for name in ("CC-MAIN-2025-51", "CC-MAIN-2026-05", "CC-NEWS", "CC-MAIN-2026-09"):
        (tmp_path / "crawl-data" / name).mkdir(parents=True)
        if name != "CC-MAIN-2026-09":  # announced, not there yet
            (tmp_path / "crawl-data" / name / "warc.paths.gz").touch()
    assert newest(str(tmp_path)) == "CC-MAIN-2026-05"
    index = tmp_path / "collinfo.json"
    index.write_text(json.dumps([{"id": "CC-MAIN-2026-47"}, {"id": "CC-MAIN-2008-2009"}, {"id": "CC-MAIN-2026-43"}]))
    assert newest(index=str(index)) == "CC-MAIN-2026-47"
    with pytest.raises(ValueError, match="name a crawl"):
        newest(str(tmp_path / "empty"))


def test_a_lock_without_a_sign_of_life_is_taken_over(tmp_path):
    path = tmp_path / "a.lock"
    path.write_text(json.dumps({"host": "gone", "pid": 1, "token": "t", "expires": time.time() - 1}))
    with lock(str(path)):
        assert json.loads(path.read_text())["host"] != "gone"


def test_signs_of_life_keep_a_lock(tmp_path):
    path = tmp_path / "a.lock"
    with lock(str(path), lease_seconds=0.3):
        first = json.loads(path.read_text())["expires"]
        deadline = time.monotonic() + 10
        while json.loads(path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("silent", [False, True])
def test_of_many_who_try_at_once_one_gets_it(tmp_path, silent):
    path, got, told = str(tmp_path / "a.lock"), [], []
    if silent:
        (tmp_path / "a.lock").write_text(json.dumps({"host": "gone", "pid": 1, "token": "t", "expires": 0}))
    start, done = threading.Barrier(8), threading.Event()

    def attempt():
        start.wait()
        try:
            with lock(path):
                got.append(1)
                done.wait(10)
        except LockedError:
            told.append(1)
            if len(told) == 7:
                done.set()

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(told)) == (1, 7)
    assert list(tmp_path.iterdir()) == []


def test_who_saw_the_silent_lock_too_late_does_not_take_it_from_the_next_owner(tmp_path):
    path = tmp_path / "a.lock"
    seen = {"host": "gone", "pid": 1, "token": "old", "expires": 0}
    with lock(str(path)):
        now = path.read_text()
        with pytest.raises(LockedError, match="took the lock at this moment"):
            _take_over(str(path), seen, {"token": "late"}, 60)
        assert path.read_text() == now


def test_a_store_that_is_away_for_a_while_does_not_end_the_signs_of_life(tmp_path):
    path = tmp_path / "store" / "a.lock"
    with lock(str(path), lease_seconds=0.15):
        (tmp_path / "store").rename(tmp_path / "away")
        time.sleep(0.3)
        (tmp_path / "away").rename(tmp_path / "store")
        first, deadline = json.loads(path.read_text())["expires"], time.monotonic() + 10
        while json.loads(path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_lock_taken_over_is_left_to_its_new_owner(tmp_path):
    path = tmp_path / "a.lock"
    with lock(str(path), lease_seconds=0.15):
        path.write_text(json.dumps({"host": "other", "pid": 2, "token": "other", "expires": 9e9}))
        time.sleep(0.2)
    assert json.loads(path.read_text())["token"] == "other"


@pytest.fixture(scope="module")
def months(tmp_path_factory, gristmill):
    """Two crawls in a mirror, the second with all that the first had; curated one after the other by their names."""
    base = tmp_path_factory.mktemp("months")
    for name, files in {"CC-MAIN-2026-43": FILES[:1], "CC-MAIN-2026-47": FILES}.items():
        folder = base / "mirror/crawl-data" / name
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(MINICRAWL / file, folder)
        paths = "".join(f"crawl-data/{name}/{file}\n" for file in files)
        (folder / "warc.paths.gz").write_bytes(gzip.compress(paths.encode()))
    for name in ("CC-MAIN-2026-43", "newest"):
        gristmill("curate", "--snapshot", name, "--mirror", base / "mirror", "--output", base / "out", *ONE_WORKER)
    return base


def test_a_crawl_by_its_name_is_published_under_it_and_latest_names_the_newest(months):
    manifests = {name: json.loads((months / "out" / name / "manifest.json").read_text()) for name in NAMES}
    assert [item["name"] for item in manifests[NAMES[0]]["inputs"]] == [f"crawl-data/{NAMES[0]}/{FILES[0]}"]
    assert json.loads((months / "out/latest.json").read_text()) == {
        "snapshot": NAMES[1],
        "content_hash": manifests[NAMES[1]]["content_hash"],
    }
    assert sorted(path.name for path in (months / "out").iterdir()) == [*NAMES, "latest.json"]  # no lock is left


def test_what_an_earlier_snapshot_has_is_dropped_from_the_next(months):
    texts = [set(rows(months / "out" / name / "shards", "text")) for name in NAMES]
    assert texts[0]
    assert texts[1]
    assert not texts[0] & texts[1]
    reasons = rows(months / "out" / NAMES[1] / "drops", "reason")
    assert reasons.count("already_published") >= len(texts[0])  # and copies of them


def test_a_complete_snapshot_is_left_alone_without_a_look_at_its_input(months, gristmill):
    before = (months / "out" / NAMES[1] / "manifest.json").stat().st_mtime_ns
    for file in (months / "mirror").rglob("*minicrawl*"):
        file.unlink()  # a request for each of 80,000 files would fail on the first
    (months / "out/latest.json").unlink()
    command = ("curate", "--snapshot", "newest", "--mirror", months / "mirror", "--output", months / "out")
    assert "complete already" in gristmill(*command).stdout
    assert (months / "out" / NAMES[1] / "manifest.json").stat().st_mtime_ns == before
    assert json.loads((months / "out/latest.json").read_text())["snapshot"] == NAMES[1]


def test_a_second_start_says_who_runs_and_writes_nothing(months, gristmill):
    path = months / "other/CC-MAIN-2026-43.lock"
    with lock(str(path)):
        command = ("curate", "--snapshot", NAMES[0], "--mirror", months / "mirror", "--output", months / "other")
        done = gristmill(*command, check=False)
        assert done.returncode == 2
        assert f"(process {os.getpid()}) is at work" in done.stderr
    assert list((months / "other").iterdir()) == []
