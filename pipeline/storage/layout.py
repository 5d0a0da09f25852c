"""The paths of all files of one output. `root` is a local folder or an s3:// or gs:// address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.storage import DamagedFileError, join, read_unchecked, write_atomically
from pipeline.storage.report_types import check_report

Record = TypeVar("Record")
JSONL = "jsonl"  # written by option
REMOVALS = "removals"  # records of `gristmill remove`
PUBLISHED = ("shards", "drops", "sketches", "duplicates", "candidates")
_OF_FORMAT_1 = ("shards", "drops", "sketches")


@dataclass(frozen=True, slots=True)
class Layout:
    """OUT/ for readers of the dataset, OUT/work/ for resuming and for reruns."""

    root: str
    key: str = ""  # fingerprint of what decides the bytes of the work files; each has a folder of its own

    @property
    def manifest(self) -> str:
        """Written last, so that an output with a manifest is complete."""
        return join(self.root, "manifest.json")

    @property
    def run(self) -> str:
        """Written first: the configuration and inputs that the folder belongs to."""
        return join(self.root, "run.json")

    @property
    def report(self) -> str:
        """The numbers of the report."""
        return join(self.root, "report.json")

    @property
    def report_html(self) -> str:
        """The report as a web page."""
        return join(self.root, "report.html")

    @property
    def card(self) -> str:
        """The dataset card."""
        return join(self.root, "README.md")

    @property
    def croissant(self) -> str:
        """The description of the dataset for machines."""
        return join(self.root, "croissant.json")

    @property
    def lease(self) -> str:
        """Held by the process that changes the output."""
        return join(self.root, "run.lock")

    def part(self, kind: str, number: int, ending: str = ".parquet") -> str:
        """A published file: kind is shards, drops, sketches, duplicates, candidates or jsonl."""
        return join(self.root, kind, f"part-{number:05d}{ending}")

    @property
    def work(self) -> str:
        """The files that resuming, reruns and further input need."""
        return join(self.root, "work", self.key)

    @property
    def unit_table(self) -> str:
        """The run's units and their sizes, for `gristmill status`."""
        return join(self.work, "units.parquet")

    def folder(self, kind: str) -> str:
        """A folder of work files: staged, drops, extracted, tally and running by unit, published by part."""
        return join(self.work, kind)

    def unit(self, kind: str, key: str) -> str:
        """A work file of one unit: kind is staged, drops, extracted, tally or running."""
        return join(self.folder(kind), key + (".json" if kind in {"tally", "running"} else ".parquet"))


class JsonObject(dict[str, Any]):
    """An object of a JSON file; a key that is missing raises DamagedFileError with the file's name."""

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), path: str = "") -> None:
        super().__init__(values)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise DamagedFileError(f"{self.path}: has no {key!r}; it is damaged, or of another version of gristmill")


def read_json(path: str, types: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Raises NoSuchFileError for a missing file, DamagedFileError for one that is no JSON object.

    `types` are the types that values of the object must have.
    """
    try:
        found = json.loads(read_unchecked(path), object_hook=lambda values: JsonObject(values, path))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: not JSON ({error}); remove it and run again") from error
    if not isinstance(found, JsonObject):
        raise DamagedFileError(f"{path}: not a JSON object; remove it and run again")
    check_types(found, types or {}, path)
    return found


def check_types(values: Mapping[str, Any], types: Mapping[str, type], path: str) -> None:
    """Raises DamagedFileError unless the values of a file have these types."""
    for key, kind in types.items():
        if not isinstance(values[key], kind):
            raise DamagedFileError(f"{path}: {key!r} is {str(values[key])[:40]!r}; the file is damaged")


def read_record(path: str, kind: Callable[..., Record], types: Mapping[str, type]) -> Record:
    """A dataclass whose fields are the values of an object; raises as `read_json` does, also for other keys."""
    values = read_json(path, types)
    try:
        return kind(**values)
    except TypeError as error:
        raise DamagedFileError(f"{path}: {error}; it is damaged, or of another version of gristmill") from None


def read_run(layout: Layout) -> dict[str, Any]:
    """run.json, with the types of its values checked."""
    return read_json(layout.run, {"identity": dict, "work": str})


def read_manifest(layout: Layout) -> dict[str, Any]:
    """manifest.json, with the types of its values checked."""
    numbers = dict.fromkeys(("format", "pages", "kept", "words", "characters", "dropped"), int)
    lists = dict.fromkeys((*_OF_FORMAT_1, "inputs"), list)
    tables = dict.fromkeys(("config", "files", "versions"), dict)
    manifest = read_json(layout.manifest, {**numbers, **lists, **tables, "content_hash": str})
    for kind in PUBLISHED:
        check_entries(manifest.setdefault(kind, []), "path", layout.manifest)
    check_entries(manifest["inputs"], "name", layout.manifest)
    columns = manifest.get("column_sums", {})  # format 1 has neither these nor the others
    of_kinds = columns.values() if isinstance(columns, Mapping) else [columns]
    for sums in (manifest.get("content_sums", {}), *of_kinds):
        check_sums(sums, layout.manifest)
    return manifest


def check_entries(entries: Any, key: str, path: str) -> None:
    """Raises DamagedFileError unless the entries of a file are a list of objects, each with a text under `key`."""
    entries = entries if isinstance(entries, list) else [entries]
    for entry in entries:
        if not (isinstance(entry, Mapping) and isinstance(entry.get(key), str)):
            raise DamagedFileError(f"{path}: has {str(entry)[:40]!r} where a {key} is expected; the file is damaged")


def check_sums(sums: Any, path: str) -> None:
    """Raises DamagedFileError unless the sums of a file are an object of numbers in hexadecimal."""
    for key, value in sums.items() if isinstance(sums, Mapping) else [("sums", sums)]:
        try:
            int(value, 16)
        except (ValueError, TypeError):
            raise DamagedFileError(f"{path}: {key!r} is {str(value)[:40]!r}; the file is damaged") from None


def part_numbers(manifest: Mapping[str, Any], kind: str) -> list[int]:
    """The numbers of the files of a kind, in the order of the manifest; after a removal some are missing."""
    return [int(entry["path"].rpartition("part-")[2].partition(".")[0]) for entry in manifest[kind]]


def read_report(layout: Layout) -> dict[str, Any]:
    """report.json, with the types of its values checked, also of those inside."""
    numbers = ("pages", "kept", "words", "characters", "unreadable")
    tables = (
        "dropped",
        "records",
        "quality",
        "group_sizes",
        "rescan",
        "signals",
        "cpu_seconds",
        "duplicates",
        "config",
        "counts",
        "run",
    )
    lists = ("failures", "dropped_hosts", "languages", "hosts", "domains", "inputs", "warnings")
    kinds = ((int, numbers), (dict, tables), (list, lists), (str, ("content_hash",)))
    report = read_json(layout.report, {name: kind for kind, names in kinds for name in names})
    check_report(report, layout.report)
    return report


def write_json(path: str, values: object) -> None:
    """Writes atomically, keys in the given order."""
    with write_atomically(path) as file:
        file.write((json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
