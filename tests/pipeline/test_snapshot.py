from __future__ import annotations

import json
import threading
import time

import pytest

from pipeline.snapshot import LockedError, Snapshot, latest_path, lock, newest


def complete(base, name, content_hash="x"):
    (base / name / "sketches").mkdir(parents=True)
    (base / name / "manifest.json").write_text(json.dumps({"content_hash": content_hash}))


def test_a_name_that_is_no_crawl_is_refused(tmp_path):
    with pytest.raises(ValueError, match="CC-MAIN-2026-43"):
        Snapshot("2026-43", str(tmp_path))


def test_only_complete_and_earlier_snapshots_count_as_former(tmp_path):
    for name in ("CC-MAIN-2026-43", "CC-MAIN-2025-51", "CC-MAIN-2026-47", "notes"):
        complete(tmp_path, name)
    (tmp_path / "CC-MAIN-2026-38").mkdir()  # begun, not complete
    former = Snapshot("CC-MAIN-2026-47", str(tmp_path)).former()
    assert former == tuple(str(tmp_path / name / "sketches") for name in ("CC-MAIN-2025-51", "CC-MAIN-2026-43"))


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


def test_of_many_who_try_at_once_one_gets_it(tmp_path):
    path, got, told = str(tmp_path / "a.lock"), [], []
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
