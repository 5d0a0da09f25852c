"""Leases: one owner at a time, renewal, expiry and takeover."""

from __future__ import annotations

import json
import threading
import time

import pytest

from pipeline.storage.lease import LeaseHeldError, _take_over, hold_lease


def test_a_second_process_is_refused_with_the_owner(tmp_path):
    path = str(tmp_path / "a.lock")
    with hold_lease(path), pytest.raises(LeaseHeldError, match=r"held by .+ \(process \d+\)"), hold_lease(path):
        pass
    with hold_lease(path):  # released
        pass
    assert not (tmp_path / "a.lock").exists()


def test_an_expired_lease_is_taken_over(tmp_path):
    path = tmp_path / "a.lock"
    path.write_text(json.dumps({"host": "gone", "pid": 1, "token": "t", "expires": time.time() - 1}))
    with hold_lease(str(path)):
        assert json.loads(path.read_text())["host"] != "gone"


def test_heartbeats_renew_the_lease(tmp_path):
    path = tmp_path / "a.lock"
    with hold_lease(str(path), lease_seconds=0.3):
        first = json.loads(path.read_text())["expires"]
        deadline = time.monotonic() + 10
        while json.loads(path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("expired", [False, True])
def test_one_of_many_concurrent_processes_gets_the_lease(tmp_path, expired):
    path, acquired, refused = str(tmp_path / "a.lock"), [], []
    if expired:
        (tmp_path / "a.lock").write_text(json.dumps({"host": "gone", "pid": 1, "token": "t", "expires": 0}))
    start, done = threading.Barrier(8), threading.Event()

    def attempt():
        start.wait()
        try:
            with hold_lease(path):
                acquired.append(1)
                done.wait(10)
        except LeaseHeldError:
            refused.append(1)
            if len(refused) == 7:
                done.set()

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(acquired), len(refused)) == (1, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_late_takeover_leaves_the_lease_with_its_new_owner(tmp_path):
    path = tmp_path / "a.lock"
    seen = {"host": "gone", "pid": 1, "token": "old", "expires": 0}
    with hold_lease(str(path)):
        now = path.read_text()
        with pytest.raises(LeaseHeldError, match="took it over just now"):
            _take_over(str(path), seen, {"token": "late"}, 60)
        assert path.read_text() == now


def test_heartbeats_go_on_after_the_store_was_unreachable(tmp_path):
    path = tmp_path / "store" / "a.lock"
    with hold_lease(str(path), lease_seconds=0.15):
        (tmp_path / "store").rename(tmp_path / "away")
        time.sleep(0.3)
        (tmp_path / "away").rename(tmp_path / "store")
        first, deadline = json.loads(path.read_text())["expires"], time.monotonic() + 10
        while json.loads(path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_lease_that_was_taken_over_is_not_removed(tmp_path):
    path = tmp_path / "a.lock"
    with hold_lease(str(path), lease_seconds=0.15):
        path.write_text(json.dumps({"host": "other", "pid": 2, "token": "other", "expires": 9e9}))
        time.sleep(0.2)
    assert json.loads(path.read_text())["token"] == "other"
