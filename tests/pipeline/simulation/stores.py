"""Where outputs lie in the simulation: a folder, or a stand-in of S3 or Google's store in this process."""

from __future__ import annotations

import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import fsspec
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from tests.pipeline.engines.gcs import serve_gcs
from tests.pipeline.engines.s3 import serve_s3


class Store(Protocol):
    """A place for outputs."""

    address: str

    def view(self) -> Path:
        """A folder with all files of the store."""

    def load(self, state: Path | None) -> None:
        """Replaces all files of the store by those of the folder."""


class Disk:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self.load(None)

    def view(self) -> Path:
        return Path(self.address)

    def load(self, state: Path | None) -> None:
        shutil.rmtree(self.address, ignore_errors=True)
        if state:
            shutil.copytree(state, self.address)
        else:
            os.makedirs(self.address)


class Bucket(ABC):
    """A bucket of a stand-in; `view` is a copy, brought up to date when objects have changed."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self._seen: dict[str, bytes] = {}
        self._change(set(), {})

    @abstractmethod
    def objects(self) -> dict[str, bytes]:
        """The content of every object by name."""

    @abstractmethod
    def replace(self, objects: dict[str, bytes]) -> None:
        """Makes these the only objects."""

    def view(self) -> Path:
        now = self.objects()
        changed = {name: content for name, content in now.items() if self._seen.get(name) is not content}
        self._change(self._seen.keys() - now.keys(), changed)
        self._seen = now
        return self.folder

    def _change(self, gone: set[str], changed: dict[str, bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in gone:
            path = self.folder / name
            path.unlink()
            for parent in path.relative_to(self.folder).parents:  # a store has no empty folders
                if (self.folder / parent).is_dir() and not any((self.folder / parent).iterdir()):
                    (self.folder / parent).rmdir()
        for name, content in changed.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)

    def load(self, state: Path | None) -> None:
        files = [path for path in state.rglob("*") if path.is_file()] if state else []
        self.replace({str(path.relative_to(state)): path.read_bytes() for path in files if state})


class GoogleBucket(Bucket):
    def __init__(self, store: Any, folder: Path) -> None:
        self.store = store
        super().__init__("gs://grist", folder)

    def objects(self) -> dict[str, bytes]:
        return {name: content for (_, name), content in list(self.store.objects.items())}

    def replace(self, objects: dict[str, bytes]) -> None:
        self.store.objects.clear()
        for name, content in objects.items():
            self.store.put("grist", name, content)


class AmazonBucket(Bucket):
    def __init__(self, folder: Path) -> None:
        self.backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._values: dict[tuple[str, str], bytes] = {}
        super().__init__("s3://grist", folder)

    def objects(self) -> dict[str, bytes]:
        found = {}
        for name, key in list(self.backend.buckets["grist"].keys.items()):
            version = name, f"{key.etag}{key.last_modified}"
            found[name] = self._values.setdefault(version, key.value)
        return found

    def replace(self, objects: dict[str, bytes]) -> None:
        for name in list(self.backend.buckets["grist"].keys):
            self.backend.delete_object("grist", name)
        for name, content in objects.items():
            self.backend.put_object("grist", name, content)


@contextmanager
def open_store(kind: str, folder: Path) -> Iterator[Store]:
    """A disk, or a stand-in of the store with this scheme: "disk", "gs" or "s3"."""
    if kind == "disk":
        yield Disk(folder)
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    with (serve_gcs if kind == "gs" else serve_s3)() as served, patch.dict(os.environ, served.environment):
        fsspec.get_filesystem_class(kind).clear_instance_cache()  # else: clients of an earlier server
        yield GoogleBucket(served, folder) if kind == "gs" else AmazonBucket(folder)
        fsspec.get_filesystem_class(kind).clear_instance_cache()
