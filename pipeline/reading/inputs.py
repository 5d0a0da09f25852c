"""What a run reads: patterns of the command line become a sorted tuple of `Input`, each with stable name and size.

A pattern is one of
    a file or a glob          crawl/*.warc.gz, s3://bucket/**/*.warc.gz, https://host/file.warc.gz
    a folder                  all WARC and WET files below it
    a listing of paths        warc.paths.gz or wet.paths, one path a line, gzip or not
    rows of an index          Parquet with warc_filename, warc_record_offset, warc_record_length (Common Crawl's
                              columnar index, or the answer to a query over it): only these records are read, by range

Where the paths of a listing or an index lie: at `prefix` if one is given; otherwise they are taken relative to the
listing's own place (a mirror keeps crawl-data/... in the order of the original, so a listing inside it leads to its
neighbors); otherwise, if they begin with crawl-data/, at https://data.commoncrawl.org/.

The name is what rows and manifest say, so it does not depend on where a copy lies: the listed path for listings and
indexes, the base name for a single file, the path below the fixed part of a folder or glob.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline import storage

COMMON_CRAWL = "https://data.commoncrawl.org/"
RECORDS = (".warc.gz", ".warc", ".warc.zst", ".wet.gz", ".wet", ".wet.zst")
_LISTING = re.compile(r"\.paths(\.gz)?$")
_COLUMNS = ("warc_filename", "warc_record_offset", "warc_record_length")


@dataclass(frozen=True, slots=True)
class Input:
    name: str
    path: str
    size: int = 0
    ranges: tuple[tuple[int, int], ...] = ()  # [start, end) of chosen records, ascending; empty: the whole file


def resolve_inputs(
    patterns: Sequence[str], *, prefix: str | None = None, limit: int | None = None
) -> tuple[Input, ...]:
    """All inputs sorted by name, the first `limit` of them; the same file named twice counts once."""
    if not patterns:
        raise ValueError("no input given; name WARC files, a folder, a glob or a warc.paths.gz listing")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be at least 1")
    found = [entry for pattern in patterns for entry in _resolve(_tidy(pattern), prefix)]
    return _measured(_unique(found)[:limit])


def _resolve(pattern: str, prefix: str | None) -> list[Input]:
    if _is_glob(pattern):
        entries = _from_glob(pattern)
    elif _LISTING.search(pattern):
        return _from_listing(pattern, prefix)
    elif pattern.endswith(".parquet"):
        return _from_index([pattern], prefix)
    elif storage.is_folder(pattern):
        entries = _from_folder(pattern)
    else:
        entries = [Input(_base_name(pattern), pattern)]
    return entries if not _all_parquet(entries) else _from_index([entry.path for entry in entries], prefix)


def _tidy(pattern: str) -> str:
    """One spelling for one local file."""
    return pattern if storage.is_remote(pattern) else os.path.normpath(os.path.expanduser(pattern))


def _is_glob(pattern: str) -> bool:
    if pattern.startswith(("http://", "https://")):
        if "*" in pattern:
            raise ValueError(f"{pattern}: web servers cannot be searched; pass a warc.paths.gz listing or single files")
        return False
    if not any(character in pattern for character in "*?["):
        return False
    return storage.is_remote(pattern) or not os.path.exists(pattern)  # a file may really be called a[1].warc


def _from_glob(pattern: str) -> list[Input]:
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    paths = storage.glob_files(pattern)
    if not paths:
        raise ValueError(f"{pattern}: no file matches; check the pattern (quote it, so that the shell leaves it alone)")
    listings = [path for path in paths if _LISTING.search(path)]
    if listings:
        raise ValueError(f"{pattern}: matches a listing ({listings[0]}); name listings one by one")
    return [Input(_below(fixed, path), path) for path in paths]


def _from_folder(folder: str) -> list[Input]:
    files = storage.list_files(folder)
    paths = [path for path in files if path.endswith(RECORDS)] or [path for path in files if path.endswith(".parquet")]
    if not paths:
        raise ValueError(f"{folder}: holds no file that ends in {', '.join(RECORDS)} (or .parquet)")
    return [Input(_below(folder, path), path) for path in paths]


def _from_listing(listing: str, prefix: str | None) -> list[Input]:
    raw = storage.read_bytes(listing)
    try:
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{listing}: not a readable list of paths ({error}); fetch it again") from error
    names = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not names:
        raise ValueError(f"{listing}: the list is empty")
    place = _placer(listing, names[0], prefix)
    return [Input(_listed_name(name), place(name)) for name in names]


def _from_index(files: Sequence[str], prefix: str | None) -> list[Input]:
    rows: dict[str, list[tuple[int, int]]] = {}
    for file in files:
        for name, offset, length in _index_rows(file):
            rows.setdefault(name, []).append((offset, offset + length))
    if not rows:
        raise ValueError(f"{files[0]}: the index has no rows; check the query that made it")
    place = _placer(files[0], min(rows), prefix)
    entries = [Input(_listed_name(name), place(name), 0, tuple(sorted(set(spans)))) for name, spans in rows.items()]
    for entry in entries:
        _refuse_overlap(files[0], entry)
    return entries


def _index_rows(file: str) -> Iterator[tuple[str, int, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with storage.open_parquet(file) as opened:
        try:
            parquet = pq.ParquetFile(opened)
            missing = set(_COLUMNS) - set(parquet.schema_arrow.names)
            if missing:
                raise ValueError(f"{file}: lacks the columns {', '.join(sorted(missing))} of Common Crawl's index")
            for batch in parquet.iter_batches(columns=list(_COLUMNS)):
                yield from zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True)
        except pa.ArrowException as error:
            raise ValueError(f"{file}: not a readable Parquet file ({error})") from error


def _refuse_overlap(index: str, entry: Input) -> None:
    for (start, end), (following, _) in pairwise(entry.ranges):
        if following < end:
            raise ValueError(
                f"{index}: {entry.name}: records {start}-{end} and {following}- overlap; the index is damaged"
            )


def _placer(listing: str, example: str, prefix: str | None) -> Callable[[str], str]:
    """How a listed name becomes a path (the rule stands in the module's docstring)."""
    base = prefix if prefix is not None else _own_place(listing, example)
    return lambda name: name if _is_absolute(name) else f"{base.rstrip('/')}/{name}" if base else name


def _own_place(listing: str, example: str) -> str:
    top = example.split("/", 1)[0]
    folder = listing if storage.is_remote(listing) else os.path.abspath(listing)
    folder = folder.rpartition("/")[0]
    if f"/{top}/" in f"{folder}/":  # .../crawl-data/CC-MAIN-2026-43/warc.paths.gz and crawl-data/CC-MAIN-2026-43/...
        folder = f"{folder}/".rpartition(f"/{top}/")[0]
    is_mirror = storage.is_remote(listing) or os.path.exists(os.path.join(folder, example))
    return folder if is_mirror or top != "crawl-data" else COMMON_CRAWL


def _is_absolute(name: str) -> bool:
    return "://" in name or name.startswith("/")


def _listed_name(name: str) -> str:
    """The listed path without the mirror that an absolute one names."""
    return re.sub(r"^[a-z0-9]+://[^/]*/|^/+", "", name)


def _base_name(path: str) -> str:
    return path.split("?")[0].rsplit("/", 1)[-1]


def _below(folder: str, path: str) -> str:
    folder = folder.rstrip("/")
    return path[len(folder) :].lstrip("/") if folder and path.startswith(f"{folder}/") else path.lstrip("/")


def _all_parquet(entries: Sequence[Input]) -> bool:
    return all(entry.path.endswith(".parquet") for entry in entries)


def _unique(entries: Iterable[Input]) -> list[Input]:
    by_name: dict[str, Input] = {}
    names: dict[str, str] = {}
    for entry in entries:
        if names.setdefault(entry.path, entry.name) != entry.name:
            continue  # the same file by another pattern: its first name stands
        other = by_name.setdefault(entry.name, entry)
        if other.path != entry.path:
            raise ValueError(
                f"{other.path} and {entry.path} would both be called {entry.name} in the output;"
                " pass the folder above them instead of the files, so that their names differ"
            )
        if other.ranges != entry.ranges:
            by_name[entry.name] = _union(other, entry)
    return [by_name[name] for name in sorted(by_name)]


def _union(one: Input, other: Input) -> Input:
    if not one.ranges or not other.ranges:  # the whole file holds every record of it
        return replace(one, ranges=())
    return replace(one, ranges=tuple(sorted({*one.ranges, *other.ranges})))


def _measured(entries: Sequence[Input]) -> tuple[Input, ...]:
    """Every file is looked up before anything starts: a missing one stops the run now, not on its third day."""
    with ThreadPoolExecutor(16) as pool:
        sizes = list(pool.map(lambda entry: storage.size(entry.path), entries))
    for entry, size in zip(entries, sizes, strict=True):
        last = entry.ranges[-1][1] if entry.ranges else 0
        if last > size:
            raise ValueError(f"{entry.path}: has {size} bytes, but the index names a record that ends at {last}")
    return tuple(replace(entry, size=size) for entry, size in zip(entries, sizes, strict=True))
