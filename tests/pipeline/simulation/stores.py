"""Where outputs lie in the simulation: a folder, or a stand-in of S3 or Google's store in this process."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import fsspec

from tests.pipeline.simulation.gcs import answer_gcs
from tests.pipeline.simulation.s3 import S3, answer_s3


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
            for parent in list(path.relative_to(self.folder).parents)[:-1]:  # a store has no empty folders
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
    def __init__(self, store: S3, folder: Path) -> None:
        self.store = store
        super().__init__("s3://grist", folder)

    def objects(self) -> dict[str, bytes]:
        return {name: found.content for name, found in list(self.store.objects.items())}

    def replace(self, objects: dict[str, bytes]) -> None:
        self.store.objects.clear()
        for name, content in objects.items():
            self.store.put(name, content)


@contextmanager
def open_store(kind: str, folder: Path) -> Iterator[Store]:
    """A disk, or a stand-in of the store with this scheme: "disk", "gs" or "s3"."""
    if kind == "disk":
        yield Disk(folder)
        return
    with answer_gcs() if kind == "gs" else answer_s3() as served, patch.dict(os.environ, served.environment):
        fsspec.get_filesystem_class(kind).clear_instance_cache()  # else: clients of an earlier server
        yield AmazonBucket(served, folder) if isinstance(served, S3) else GoogleBucket(served, folder)
        fsspec.get_filesystem_class(kind).clear_instance_cache()
