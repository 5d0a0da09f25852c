"""A lock for processes on several machines: a lease file in the output folder, on a disk or an object store.

The file is JSON with its owner and the time at which it expires. The owner renews it with a heartbeat. A lease is free
when it has expired, when its owner was on this machine and is gone (then a killed run resumes at once), or when its
content is damaged and the file is old.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from pipeline import effects, storage
from pipeline.errors import LockedError
from pipeline.stop import cleanup_at_stop, stop_process
from pipeline.storage.layout import read_json

log = logging.getLogger("gristmill")

# A lease expires this long after its last heartbeat; the owner sends one every third of it. Kubernetes restarts a
# killed job six times within ten minutes: the lease of the killed process must have expired by then.
LEASE_SECONDS = 300.0
_ATTEMPTS = 3  # to create or take over a lease that others release or take at the same time


class LeaseHeldError(LockedError):
    """Another process holds the lease."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease file as another process sees it."""

    owner: str  # host and process
    token: str
    beat_seconds: float  # since the last heartbeat
    seconds_left: float  # until it expires, 0 for one that is free
    is_gone: bool  # the owner was on this machine and does not exist any more

    @property
    def is_free(self) -> bool:
        """Whether another process may take it over."""
        return self.is_gone or self.seconds_left <= 0


def read_lease(path: str, lease_seconds: float = LEASE_SECONDS) -> Lease | None:
    """The lease, or None where there is no file. Raises StorageError when the file cannot be read."""
    now = effects.now()
    try:
        values = read_json(path)
        expires, token = float(values["expires"]), str(values["token"])
        owner = f"{values['host']} (process {values['pid']})"
        beat = float(values.get("beat", expires - lease_seconds))
        if beat > now:  # written by a clock that was ahead, by days if it was wrong: the age of the file counts instead
            expires, beat = (written := storage.modification_time(path)) + expires - beat, written
        return Lease(owner, token, max(now - beat, 0), max(expires - now, 0), is_gone(values))
    except storage.NoSuchFileError:
        return None
    except (storage.DamagedFileError, KeyError, TypeError, ValueError):
        try:  # its owner was killed while it wrote, or the disk was full
            modified = storage.modification_time(path)
        except storage.NoSuchFileError:
            return None
        age = max(now - modified, 0)
        return Lease(
            "an unknown process (the file is damaged)", f"{modified:.0f}", age, max(lease_seconds - age, 0), False
        )


def _stop(why: str) -> NoReturn:
    stop_process(why, LockedError.exit_code)


@contextmanager
def hold_lease(
    path: str, lease_seconds: float = LEASE_SECONDS, on_loss: Callable[[str], object] = _stop
) -> Iterator[None]:
    """Holds the lease file while the block runs and renews it from a thread.

    Raises LeaseHeldError with the owner's host and process when another process holds it. Calls `on_loss` with one line
    when another process took it over, because this one had sent no heartbeat for `lease_seconds`: by default it ends
    this process at once, for two must not write into one output.
    """
    owner = {**this_process(), "token": uuid.uuid4().hex}
    _acquire(path, owner, lease_seconds)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew_regularly, args=(path, owner, lease_seconds, stop, on_loss), daemon=True)
    renewal.start()
    try:
        with cleanup_at_stop(lambda *_: _release(path, owner)):
            yield
    finally:
        stop.set()
        renewal.join()
        _release(path, owner)


def check_lease(path: str, lease_seconds: float = LEASE_SECONDS) -> None:
    """Raises LeaseHeldError when another process holds the lease; nothing is written."""
    lease = read_lease(path, lease_seconds)
    if lease is not None:
        _check_free(path, lease)


def _check_free(path: str, lease: Lease) -> None:
    if not lease.is_free:
        raise LeaseHeldError(
            f"{path}: held by {lease.owner}; wait until it is done "
            f"(without a heartbeat the lease expires in {lease.seconds_left:.0f} s)"
        )


def _release(path: str, owner: Mapping[str, Any]) -> None:
    if _is_owner(path, owner):
        storage.remove(path)


def _acquire(path: str, owner: Mapping[str, Any], lease_seconds: float) -> None:
    for _ in range(_ATTEMPTS):
        if storage.create_exclusively(path, _content(owner, lease_seconds)):
            return
        lease = read_lease(path, lease_seconds)
        if lease is None:
            continue  # released just now
        if lease.token == owner["token"]:
            return  # created by this process: the store's response was lost and the request was retried
        _check_free(path, lease)
        if _take_over(path, lease.token, owner, lease_seconds):
            return
    raise LeaseHeldError(f"{path}: another process took it over just now; try again")


def _take_over(path: str, token: str, owner: Mapping[str, Any], lease_seconds: float) -> bool:
    """Replaces the owner of a free lease; of several processes, the one that creates the claim file succeeds."""
    claim = f"{path}.{token}"
    if not storage.create_exclusively(claim, b"{}"):
        lease = read_lease(claim, lease_seconds)
        if lease is not None and lease.is_free:  # whoever wanted to take it over was killed
            storage.remove(claim)
        return False
    try:
        lease = read_lease(path, lease_seconds)
        if lease is None or lease.token != token:
            return False
        _write(path, owner, lease_seconds)
        return True
    finally:
        storage.remove(claim)


def _renew_regularly(
    path: str, owner: Mapping[str, Any], lease_seconds: float, stop: threading.Event, on_loss: Callable[[str], object]
) -> None:
    while not stop.wait(lease_seconds / 3):
        try:
            lease = read_lease(path, lease_seconds)
            if lease is None:  # removed by hand, or its folder is not mounted at the moment
                log.warning("%s: is missing; this process goes on", path)
            elif lease.token != owner["token"]:
                on_loss(f"{path}: {lease.owner} took the output over; stopped")
                return
            else:
                _write(path, owner, lease_seconds)
        except storage.StorageError as error:  # the next heartbeat may still come in time
            log.warning("cannot renew the lease: %s", error)


def _is_owner(path: str, owner: Mapping[str, Any]) -> bool:
    try:
        return bool(read_json(path)["token"] == owner["token"])
    except (storage.StorageError, KeyError):
        return False


def _write(path: str, owner: Mapping[str, Any], lease_seconds: float) -> None:
    with storage.write_atomically(path) as file:
        file.write(_content(owner, lease_seconds))


def _content(owner: Mapping[str, Any], lease_seconds: float) -> bytes:
    now = effects.now()
    return json.dumps({**owner, "beat": now, "expires": now + lease_seconds}).encode()


@cache
def this_process() -> dict[str, Any]:
    """This process for others: process ids mean something only in one namespace of one boot of one machine."""
    pid, machine = os.getpid(), _machine()
    started = _start_ticks(pid) if machine else None
    return {"host": socket.gethostname(), "pid": pid, "started": started, "machine": machine}


def _machine() -> str:
    try:
        boot = effects.read_file("/proc/sys/kernel/random/boot_id").decode().strip()
        return f"{boot} {effects.read_link('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_gone(values: Mapping[str, Any]) -> bool:
    """Whether a process, as `this_process` described it, was on this machine and does not exist any more."""
    if not values.get("machine") or values["machine"] != _machine():
        return False
    try:
        return _start_ticks(int(values["pid"])) != values.get(
            "started"
        )  # the id may have been given to another process
    except OSError:  # nothing is known
        return False


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None where it is gone (or a zombie).

    Not psutil's create_time(), which adds the wall clock's idea of the boot time: that changes when the clock is set.
    """
    try:
        content = effects.read_file(f"/proc/{pid}/stat").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = content.rpartition(")")[2].split()
    return None if state == "Z" else int(fields[18])
