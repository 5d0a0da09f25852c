"""Leases: one owner at a time, renewal, expiry and takeover."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.storage.lease import LEASE_SECONDS, LeaseHeldError, _take_over, hold_lease, read_lease
from tests.conftest import ROOT


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
    with hold_lease(str(path)):
        now = path.read_text()
        assert not _take_over(str(path), "old", {"token": "late"}, 60)
        assert path.read_text() == now
    assert list(tmp_path.iterdir()) == []


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


def test_a_lease_that_was_taken_over_is_reported_and_not_removed(tmp_path):
    path, lost = tmp_path / "a.lock", threading.Event()
    with hold_lease(str(path), lease_seconds=0.15, on_loss=lambda line: "other (process 2)" in line and lost.set()):
        path.write_text(json.dumps({"host": "other", "pid": 2, "token": "other", "expires": 9e9}))
        assert lost.wait(10)
    assert json.loads(path.read_text())["token"] == "other"


LOSE = """
import sys, time
from pipeline.storage.lease import hold_lease
with hold_lease(sys.argv[1], lease_seconds=0.3):
    print(1, flush=True)
    time.sleep(99)
"""


def test_a_process_that_lost_its_lease_writes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", LOSE, str(path)], cwd=ROOT, text=True, **streams) as loser:
        assert loser.stdout is not None
        loser.stdout.readline()
        other = json.dumps({"host": "other", "pid": 2, "token": "other", "expires": 9e9})
        (tmp_path / "other").write_text(other)
        os.replace(tmp_path / "other", path)
        try:
            printed = loser.communicate(timeout=30)[1]
        finally:
            loser.kill()
    assert (loser.returncode, printed) == (5, f"gristmill: {path}: other (process 2) took the output over; stopped\n")
    assert path.read_text() == other


DAMAGED = [b"", b"{", b"{}", b"[1]", b"null", b"\x00\xff", b'{"token": "t", "expires": "soon"}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_lease_blocks_until_its_file_is_old(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.lock"
    path.write_bytes(content)
    with pytest.raises(LeaseHeldError, match=r"an unknown process.*expires in \d+ s"), hold_lease(str(path)):
        pass
    old = time.time() - LEASE_SECONDS - 1
    os.utime(path, (old, old))
    with hold_lease(str(path)):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_lease_of_a_clock_that_was_days_ahead_counts_from_its_file(tmp_path: Path) -> None:
    """A clock two days ahead, set right since, must not lock the output for two days."""
    path = tmp_path / "a.lock"
    ahead = time.time() + 172_800
    values = {"host": "gone", "pid": 1, "token": "t", "beat": ahead, "expires": ahead + LEASE_SECONDS}
    path.write_text(json.dumps(values))
    with pytest.raises(LeaseHeldError, match=r"expires in (299|300) s"), hold_lease(str(path)):
        pass
    old = time.time() - LEASE_SECONDS - 1
    os.utime(path, (old, old))
    with hold_lease(str(path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_takeover_does_not_block(tmp_path: Path) -> None:
    path, claim = tmp_path / "a.lock", tmp_path / "a.lock.t"
    path.write_text(json.dumps({"host": "gone", "pid": 1, "token": "t", "expires": 0}))
    claim.write_bytes(b"{}")
    with pytest.raises(LeaseHeldError, match="took it over just now"), hold_lease(str(path)):
        pass
    old = time.time() - LEASE_SECONDS - 1
    os.utime(claim, (old, old))
    with hold_lease(str(path)):
        pass
    assert list(tmp_path.iterdir()) == []


HOLD = """
import sys, time
from pipeline.storage.lease import hold_lease
with hold_lease(sys.argv[1]):
    print(1, flush=True)
    time.sleep(99)
"""


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(LeaseHeldError, match=f"process {other.pid}"), hold_lease(str(path)):
            pass
        other.kill()
        other.wait()
        with hold_lease(str(path)):
            pass
    values = {"host": "h", "pid": 1, "token": "t", "expires": time.time() + 99, "machine": "another boot", "started": 0}
    path.write_text(json.dumps(values))  # nothing is known about processes of another machine
    with pytest.raises(LeaseHeldError), hold_lease(str(path)):
        pass


def test_a_lease_that_cannot_be_read_is_an_error_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.lock").mkdir()
    with pytest.raises(storage.StorageError, match=r"a\.lock: cannot read it"), hold_lease(str(tmp_path / "a.lock")):
        pass
    with pytest.raises(storage.StorageError), hold_lease("/proc/nothing/a.lock"):
        pass


def test_a_reader_sees_the_owner_and_the_age_of_its_last_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert read_lease(str(path)) is None
    now = time.time()
    path.write_text(json.dumps({"host": "h", "pid": 7, "token": "t", "beat": now - 50, "expires": now + 250}))
    lease = read_lease(str(path))
    assert lease is not None
    assert lease.owner == "h (process 7)"
    assert 49 < lease.beat_seconds < 60
    assert 240 < lease.seconds_left <= 250
    assert not lease.is_free


def test_a_lease_on_an_object_store(bucket: str) -> None:
    path = f"{bucket}/out/run.lock"
    with hold_lease(path), pytest.raises(LeaseHeldError, match=f"process {os.getpid()}"), hold_lease(path):
        pass
    assert not storage.exists(path)
    with storage.write_atomically(path) as file:
        file.write(b"{")
    assert abs(storage.modification_time(path) - time.time()) < 60
    with pytest.raises(LeaseHeldError, match="an unknown process"), hold_lease(path):
        pass
