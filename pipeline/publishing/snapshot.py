"""The monthly job: one crawl by its name, under one base that holds all of them.

    BASE/CC-MAIN-2026-43/...      an output of `gristmill curate`
    BASE/CC-MAIN-2026-47/...      the next; it drops what the previous ones published (by their stored sketches)
    BASE/latest.json              names the newest complete one; moved only after its manifest stands
    BASE/CC-MAIN-2026-47.lock     who is at work on it, and until when that holds without a sign of life

Starting it twice is safe: the second one says who runs and stops. A lock whose owner fell silent is taken over.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.storage.layout import Layout, read_json, write_json

log = logging.getLogger("gristmill")
NAME = re.compile(r"CC-MAIN-(\d{4})-(\d{2})")
MIRROR = "https://data.commoncrawl.org/"
INDEX = "https://index.commoncrawl.org/collinfo.json"  # the crawls behind MIRROR, which cannot be listed itself
NEWEST = "newest"
# A silent owner loses the lock after this; it gives a sign of life three times as often. Kubernetes starts a job that
# was killed six times within ten minutes: the lock of the dead one must have ended by then.
LEASE_SECONDS = 300.0


class LockedError(ValueError):
    """Somebody else is at work on this snapshot."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One crawl and where its output goes."""

    name: str
    base: str
    mirror: str = MIRROR

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"--snapshot {self.name}: expected the name of a crawl such as CC-MAIN-2026-43")

    @property
    def listing(self) -> str:
        """The crawl's list of WARC files."""
        return storage.join(self.mirror, "crawl-data", self.name, "warc.paths.gz")

    @property
    def output(self) -> str:
        """Where this snapshot is published."""
        return storage.join(self.base, self.name)

    def is_complete(self) -> bool:
        """Whether its manifest stands; then a start has nothing to do."""
        return storage.exists(Layout(self.output).manifest)

    def previous_sketches(self) -> tuple[str, ...]:
        """Sketch folders of the complete snapshots before this one, oldest first."""
        names = {path.rsplit("/", 2)[-2] for path in storage.glob_files(storage.join(self.base, "*", "manifest.json"))}
        earlier = sorted(name for name in names if NAME.fullmatch(name) and name < self.name)
        return tuple(storage.join(self.base, name, "sketches") for name in earlier)

    def publish(self) -> None:
        """Moves `latest.json`, if this snapshot is complete and no newer one stands there."""
        if not self.is_complete():
            raise ValueError(f"{self.output} has no manifest.json; latest.json stays where it is")
        pointer = latest_path(self.base)
        if storage.exists(pointer) and read_json(pointer)["snapshot"] > self.name:
            return
        content_hash = read_json(Layout(self.output).manifest)["content_hash"]
        write_json(pointer, {"snapshot": self.name, "content_hash": content_hash})


def newest(mirror: str = MIRROR, index: str = INDEX) -> str:
    """The name of the newest crawl that a mirror has; for Common Crawl's own server, by its index."""
    if mirror.rstrip("/") == MIRROR.rstrip("/"):
        names = [str(crawl.get("id")) for crawl in json.loads(storage.read_bytes(index))]
    else:
        listings = storage.glob_files(storage.join(mirror, "crawl-data", "*", "warc.paths.gz"))
        names = [listing.rsplit("/", 2)[-2] for listing in listings]
    crawls = [name for name in names if NAME.fullmatch(name)]
    if not crawls:
        raise ValueError(f"{mirror}: no crawl-data/CC-MAIN-YYYY-WW/warc.paths.gz here; name a crawl with --snapshot")
    return max(crawls)


@contextmanager
def at_work(snapshot: Snapshot, config: Config) -> Iterator[Config]:
    """Holds the lock; gives the settings with the previous snapshots' sketches; moves `latest` at a good end."""
    with lock(f"{snapshot.output}.lock"):
        previous = (*config.deduplicate.previous_sketches, *snapshot.previous_sketches())
        changed = config.deduplicate.model_copy(update={"previous_sketches": previous})
        yield config.model_copy(update={"deduplicate": changed})
        snapshot.publish()


def latest_path(base: str) -> str:
    """The pointer that trainer jobs follow."""
    return storage.join(base, "latest.json")


@contextmanager
def lock(path: str, lease_seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Holds the lock file while the block runs, with regular signs of life.

    Raises LockedError with the owner's name when somebody else holds it.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid.uuid4().hex}
    _take(path, owner, lease_seconds)
    stop = threading.Event()
    renewal = threading.Thread(target=_renew, args=(path, owner, lease_seconds, stop), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        if _holds(path, owner):
            storage.remove(path)


def _take(path: str, owner: dict[str, object], lease_seconds: float) -> None:
    if storage.create_exclusively(path, _content(owner, lease_seconds)):
        return
    try:
        holder = read_json(path)
    except ValueError:
        raise LockedError(f"{path}: somebody else took or left the lock at this moment; try again") from None
    if holder["token"] == owner["token"]:
        return  # ours, though the store's answer was lost and it was asked again
    if holder["expires"] > time.time():
        raise LockedError(
            f"{path}: {holder['host']} (process {holder['pid']}) is at work; "
            f"without a sign of life its lock ends in {holder['expires'] - time.time():.0f} s"
        )
    _take_over(path, holder, owner, lease_seconds)


def _take_over(path: str, holder: dict[str, Any], owner: dict[str, object], lease_seconds: float) -> None:
    """Puts `owner` in the place of a silent `holder`; of several who try, one gets it: who creates the claim."""
    claim = f"{path}.{holder['token']}"
    if not storage.create_exclusively(claim, b""):
        raise LockedError(f"{path}: somebody else is taking the lock; if nobody is, remove {claim}")
    try:
        if not _holds(path, holder):
            raise LockedError(f"{path}: somebody else took the lock at this moment; try again")
        with storage.write_atomically(path) as file:
            file.write(_content(owner, lease_seconds))
    finally:
        storage.remove(claim)


def _renew(path: str, owner: dict[str, object], lease_seconds: float, stop: threading.Event) -> None:
    while not stop.wait(lease_seconds / 3):
        try:
            if read_json(path)["token"] != owner["token"]:
                return  # taken over: the output is the same bytes whoever writes it, so no harm is done
            with storage.write_atomically(path) as file:
                file.write(_content(owner, lease_seconds))
        except ValueError as error:  # the store is away for now; the next sign of life may still come in time
            log.warning("no sign of life in the lock: %s", error)


def _holds(path: str, owner: dict[str, object]) -> bool:
    try:
        return bool(read_json(path)["token"] == owner["token"])
    except (ValueError, KeyError):
        return False


def _content(owner: dict[str, object], lease_seconds: float) -> bytes:
    return json.dumps({**owner, "expires": time.time() + lease_seconds}).encode()
