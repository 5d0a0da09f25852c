"""A lock for processes on several machines: a lease file in a shared folder or an object store.

The file is JSON with its owner and the time at which it expires. The owner renews it with a heartbeat; an expired lease
(its owner was killed or lost the network) is taken over by the next process that needs it.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline import effects, storage
from pipeline.errors import LockedError
from pipeline.storage.layout import read_json

log = logging.getLogger("gristmill")

# A lease expires this long after its last heartbeat; the owner sends one every third of it. Kubernetes restarts a
# killed job six times within ten minutes: the lease of the killed process must have expired by then.
LEASE_SECONDS = 300.0


class LeaseHeldError(LockedError):
    """Another process holds the lease."""


@contextmanager
def hold_lease(path: str, lease_seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Holds the lease file while the block runs and renews it from a thread.

    Raises LeaseHeldError with the owner's host and process when another process holds it.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    _acquire(path, owner, lease_seconds)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew_regularly, args=(path, owner, lease_seconds, stop), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        if _is_owner(path, owner):
            storage.remove(path)


def _acquire(path: str, owner: Mapping[str, Any], lease_seconds: float) -> None:
    if storage.create_exclusively(path, _content(owner, lease_seconds)):
        return
    try:
        holder = read_json(path)
    except storage.StorageError:
        raise LeaseHeldError(f"{path}: another process took or released it just now; try again") from None
    if holder["token"] == owner["token"]:
        return  # the file was created by this process: the store's response was lost and the request was retried
    remaining = holder["expires"] - effects.now()
    if remaining > 0:
        raise LeaseHeldError(
            f"{path}: held by {holder['host']} (process {holder['pid']}); "
            f"wait until it is done (without a heartbeat the lease expires in {remaining:.0f} s)"
        )
    _take_over(path, holder, owner, lease_seconds)


def _take_over(path: str, expired: Mapping[str, Any], owner: Mapping[str, Any], lease_seconds: float) -> None:
    """Replaces the owner of an expired lease; of several processes, the one that creates the claim file succeeds."""
    claim = f"{path}.{expired['token']}"
    if not storage.create_exclusively(claim, b""):
        raise LeaseHeldError(f"{path}: another process is taking it over; if there is none, remove {claim}")
    try:
        if not _is_owner(path, expired):
            raise LeaseHeldError(f"{path}: another process took it over just now; try again")
        _write(path, owner, lease_seconds)
    finally:
        storage.remove(claim)


def _renew_regularly(path: str, owner: Mapping[str, Any], lease_seconds: float, stop: threading.Event) -> None:
    while not stop.wait(lease_seconds / 3):
        try:
            if read_json(path)["token"] != owner["token"]:
                return  # taken over: harmless, because every process writes the same bytes
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
    return json.dumps({**owner, "expires": effects.now() + lease_seconds}).encode()
