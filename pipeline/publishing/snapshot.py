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
        earlier = [name for name in complete_snapshots(self.base) if name < self.name]
        return tuple(storage.join(self.base, name, "sketches") for name in earlier)


def complete_snapshots(base: str) -> list[str]:
    """Names of the snapshots that have their manifest, oldest first."""
    names = {path.rsplit("/", 2)[-2] for path in storage.glob_files(storage.join(base, "*", "manifest.json"))}
    return sorted(name for name in names if NAME.fullmatch(name))


def update_latest(base: str) -> None:
    """Makes `latest.json` name the newest complete snapshot. Raises UserError where there is none.

    Of two processes that finish at once, the one that lists first may write last. So each looks again after it has
    written: whoever writes last sees all snapshots that the others have seen.
    """
    _remove_leftovers(base)
    pointer, written = latest_path(base), None
    while written != (newest := _newest(base)):
        if not storage.exists(pointer) or read_json(pointer) != newest:
            write_json(pointer, newest)
        written = newest


def _newest(base: str) -> dict[str, str]:
    names = complete_snapshots(base)
    if not names:
        raise UserError(f"{base}: no snapshot has a manifest.json; latest.json is not changed")
    manifest = read_manifest(Layout(storage.join(base, names[-1])))
    return {"snapshot": names[-1], "content_hash": str(manifest["content_hash"])}


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
