"""`gristmill curate --snapshot`: curate one crawl, given by its name, under a base folder that holds all crawls.

    BASE/CC-MAIN-2026-43/...      an output of `gristmill curate`
    BASE/CC-MAIN-2026-47/...      the next one, without duplicates of what previous crawls published
    BASE/latest.json              names the newest complete crawl; written after its manifest

A second process for the same crawl ends with an error that names the host and id of the first.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass

from pipeline import effects, storage
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.lists.suppressions import list_path
from pipeline.publishing.provenance import short_name
from pipeline.stages.suppress import SuppressSettings
from pipeline.storage.layout import Layout, read_json, read_manifest, write_json
from pipeline.storage.lease import LEASE_SECONDS

NAME = re.compile(r"CC-MAIN-(\d{4})-(\d{2})")
MIRROR = "https://data.commoncrawl.org/"
INDEX = "https://index.commoncrawl.org/collinfo.json"  # the list of crawls; MIRROR itself cannot be listed
NEWEST = "newest"
_TEMPORARY = re.compile(r"\.latest\.json\.\w{8}\.tmp")  # see storage.write_atomically


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One crawl and where its output goes."""

    name: str
    base: str
    mirror: str = MIRROR

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UserError(f"--snapshot {self.name}: expected the name of a crawl such as CC-MAIN-2026-43")

    @property
    def listing(self) -> str:
        """The crawl's list of WARC files."""
        return storage.join(self.mirror, "crawl-data", self.name, "warc.paths.gz")

    @property
    def output(self) -> str:
        """The output folder of this crawl."""
        return storage.join(self.base, self.name)

    def is_complete(self) -> bool:
        """Whether the output has its manifest."""
        return storage.exists(Layout(self.output).manifest)

    def previous_sketches(self) -> tuple[str, ...]:
        """Sketch folders of the complete snapshots before this one, oldest first."""
        names = {path.rsplit("/", 2)[-2] for path in storage.glob_files(storage.join(self.base, "*", "manifest.json"))}
        earlier = sorted(name for name in names if NAME.fullmatch(name) and name < self.name)
        return tuple(storage.join(self.base, name, "sketches") for name in earlier)

    def update_latest(self) -> None:
        """Points `latest.json` at this snapshot, unless it names a newer one. Raises UserError without a manifest."""
        if not self.is_complete():
            raise UserError(f"{self.output} has no manifest.json; latest.json is not changed")
        _remove_leftovers(self.base)
        pointer = latest_path(self.base)
        if storage.exists(pointer) and read_json(pointer, {"snapshot": str})["snapshot"] > self.name:
            return
        content_hash = read_manifest(Layout(self.output))["content_hash"]
        write_json(pointer, {"snapshot": self.name, "content_hash": content_hash})


def _remove_leftovers(base: str) -> None:
    """Removes what killed processes were writing of `latest.json`; a process that is writing it takes milliseconds."""
    if storage.is_remote(base):
        return
    for path in (storage.join(base, name) for name in storage.list_names(base) if _TEMPORARY.fullmatch(name)):
        with suppress(storage.NoSuchFileError):
            if effects.now() - storage.modification_time(path) > LEASE_SECONDS:
                storage.remove(path)


def find_newest_crawl(mirror: str = MIRROR, index: str = INDEX) -> str:
    """The name of the newest crawl on a mirror; for Common Crawl's own server, which cannot be listed, by its index."""
    if mirror.rstrip("/") == MIRROR.rstrip("/"):
        names = _names_in(index)
    else:
        listings = storage.glob_files(storage.join(mirror, "crawl-data", "*", "warc.paths.gz"))
        names = [listing.rsplit("/", 2)[-2] for listing in listings]
    crawls = [name for name in names if NAME.fullmatch(name)]
    if not crawls:
        raise UserError(f"{mirror}: found no crawl-data/CC-MAIN-YYYY-WW/warc.paths.gz; name a crawl with --snapshot")
    return max(crawls)


def _names_in(index: str) -> list[str]:
    try:
        return [str(crawl.get("id")) for crawl in json.loads(storage.read_bytes(index))]
    except (ValueError, AttributeError, TypeError):  # an error page of the server, for example
        raise UserError(f"{index}: not a JSON list of crawls; name a crawl with --snapshot") from None


def add_previous_sketches(snapshot: Snapshot, config: Config) -> Config:
    """The settings with the sketches of previous snapshots."""
    previous = (*config.deduplicate.previous_sketches, *snapshot.previous_sketches())
    changed = config.deduplicate.model_copy(update={"previous_sketches": previous})
    return config.model_copy(update={"deduplicate": changed})


def honor_suppressions(config: Config, root: str) -> Config:
    """The settings with the suppression list of this output or folder of snapshots, if it has one."""
    path = list_path(root)
    if not storage.exists(path):
        return config
    lists = tuple(sorted({*config.suppress.lists, path}, key=short_name))
    return config.model_copy(update={"suppress": SuppressSettings(lists=lists)})


def latest_path(base: str) -> str:
    """The file that names the newest complete crawl; trainer jobs read it."""
    return storage.join(base, "latest.json")
