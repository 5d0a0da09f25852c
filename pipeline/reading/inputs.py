"""Resolve the INPUTS of the command line into files with stable names and sizes, sorted by name.

An input is given as one of
    a file or a glob          crawl/*.warc.gz, s3://bucket/**/*.warc.gz, https://host/file.warc.gz
    a folder                  all WARC and WET files below it; if there are none, all JSONL and Parquet files; if there
                              are none, all HTML files
    a listing of paths        warc.paths.gz or wet.paths, one path a line, gzip or not
    rows of an index          Parquet with warc_filename, warc_record_offset, warc_record_length (Common Crawl's
                              columnar index, or the result of a query over it): only these records are read, by
                              range; where the index has content_digest, the payload must have this SHA-1
file_formats.py lists the kinds of files. A Parquet file without the columns of an index holds documents.

The paths of a listing or an index are relative to `prefix` if one is given; otherwise to the listing's folder (in a
mirror of Common Crawl, the folder that holds crawl-data/); otherwise, if they begin with crawl-data/ and no such copy
exists, to https://data.commoncrawl.org/. A listing on a server may name only files of that server (listings.py).

An input's name appears in rows and manifest, so it does not depend on where the copy is stored: it is the path in the
listing or index, the base name of a single file, or the path below a folder or below the fixed part of a glob.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from pipeline import storage
from pipeline.reading.file_formats import HTML_FILES, JSONL_FILES, PARQUET_FILES, WARC_FILES
from pipeline.reading.first_bytes import describe_start, read_start, say_other_format
from pipeline.reading.listings import COLUMNS, InputError, listed_name, path_resolver, read_index_rows, read_listing
from pipeline.reading.parquet_rows import column_names
from pipeline.reading.ranges import Range
from pipeline.storage.paths import is_web

_FOLDER_FILES = (WARC_FILES, (*JSONL_FILES, *PARQUET_FILES), HTML_FILES)  # of the first kind that a folder holds
_LISTING = re.compile(r"\.paths(\.gz)?$")


@dataclass(frozen=True, slots=True)
class Input:
    """One file, or chosen records of a WARC file."""

    name: str  # in rows and manifest
    path: str
    size: int = 0  # bytes
    ranges: tuple[Range, ...] = ()  # [start, end) of chosen records, ascending; empty: the whole file
    digests: tuple[str, ...] = ()  # SHA-1 of their payloads in base32, "" where unknown; empty: none is known

    def records(self) -> dict[Range, str]:
        """The digest of each chosen record."""
        return dict(zip(self.ranges, self.digests or ("",) * len(self.ranges), strict=True))

    def with_records(self, records: Mapping[Range, str]) -> Input:
        """The same file with these chosen records."""
        chosen = tuple(sorted(records))
        digests = tuple(records[span] for span in chosen) if any(records.values()) else ()
        return replace(self, ranges=chosen, digests=digests)


def resolve_inputs(
    patterns: Sequence[str], *, prefix: str | None = None, limit: int | None = None
) -> tuple[Input, ...]:
    """All inputs sorted by name, the first `limit` of them; a file that is named twice counts once."""
    if not patterns:
        raise InputError("no input given; name WARC files, a folder, a glob or a warc.paths.gz listing")
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    found = [entry for pattern in patterns for entry in _resolve(_normalize_path(pattern), prefix)]
    return _measure_sizes(_merge_by_name(found)[:limit])


def _resolve(pattern: str, prefix: str | None) -> list[Input]:
    if _is_glob(pattern):
        entries = _resolve_glob(pattern)
    elif _LISTING.search(_base_name(pattern)):
        return _resolve_listing(pattern, prefix)
    elif storage.is_folder(pattern):
        entries = _resolve_folder(pattern)
    else:
        entries = [Input(_base_name(pattern), pattern)]
    is_index = _all_parquet(entries) and set(COLUMNS) <= set(_read_columns(entries[0]))
    return _resolve_index([entry.path for entry in entries], prefix) if is_index else entries


def _read_columns(entry: Input) -> list[str]:
    try:
        return column_names(entry.path)
    except storage.DamagedFileError:
        if found := describe_start(read_start(entry.path), entry.name):
            raise InputError(say_other_format(entry.path, entry.name, found)) from None
        raise


def _normalize_path(pattern: str) -> str:
    """One spelling for each local file."""
    return pattern if storage.is_remote(pattern) else os.path.normpath(os.path.expanduser(pattern))


def _is_glob(pattern: str) -> bool:
    if pattern.startswith(("http://", "https://")):
        if "*" in pattern:
            raise InputError(f"{pattern}: web servers cannot be searched; pass a warc.paths.gz listing or single files")
        return False
    if not any(character in pattern for character in "*?["):
        return False
    return storage.is_remote(pattern) or not storage.exists(pattern)  # a file may be named a[1].warc


def _resolve_glob(pattern: str) -> list[Input]:
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    paths = storage.glob_files(pattern)
    if not paths:
        raise InputError(f"{pattern}: no file matches; check the pattern (quote it, or the shell expands it)")
    listings = [path for path in paths if _LISTING.search(path)]
    if listings:
        raise InputError(f"{pattern}: matches the listing {listings[0]}; name listings one by one")
    return [Input(_relative_to(fixed, path), path) for path in paths]


def _resolve_folder(folder: str) -> list[Input]:
    files = storage.list_files(folder)
    for endings in _FOLDER_FILES:
        paths = [path for path in files if path.lower().endswith(endings)]
        if paths:
            return [Input(_relative_to(folder, path), path) for path in paths]
    raise InputError(
        f"{folder}: no file ends in .warc, .wet, .jsonl, .ndjson, .json (or one of these with .gz or .zst), .parquet,"
        " .html, .htm or .xhtml"
    )


def _resolve_listing(listing: str, prefix: str | None) -> list[Input]:
    names = read_listing(listing)
    first = next(names, None)
    if first is None:
        raise InputError(f"{listing}: the list is empty")
    locate = path_resolver(listing, first, prefix)
    return [Input(listed_name(name), locate(name)) for name in chain([first], names)]


def _resolve_index(files: Sequence[str], prefix: str | None) -> list[Input]:
    rows: dict[str, dict[Range, str]] = {}
    for file in files:
        for name, offset, length, digest in read_index_rows(file):
            records, span = rows.setdefault(name, {}), (offset, offset + length)
            known = records.get(span, "")
            if known and digest and known != digest:
                raise InputError(f"{file}: {name}: two digests of the record at {offset}; the index is damaged")
            records[span] = digest or known
    if not rows:
        raise InputError(f"{files[0]}: the index has no rows; check the query that wrote it")
    locate = path_resolver(files[0], min(rows), prefix)
    entries = [Input(listed_name(name), locate(name)).with_records(records) for name, records in rows.items()]
    for entry in entries:
        _refuse_overlap(files[0], entry)
    return entries


def _refuse_overlap(index: str, entry: Input) -> None:
    for (start, end), (following, _) in pairwise(entry.ranges):
        if following < end:
            raise InputError(
                f"{index}: {entry.name}: records {start}-{end} and {following}- overlap; the index is damaged"
            )


def _base_name(path: str) -> str:
    """The last name, without the query and the fragment of a web address."""
    return re.split("[?#]" if is_web(path) else r"\?", path)[0].rsplit("/", 1)[-1]


def _relative_to(folder: str, path: str) -> str:
    folder = folder.rstrip("/")
    return path[len(folder) :].lstrip("/") if folder and path.startswith(f"{folder}/") else path.lstrip("/")


def _all_parquet(entries: Sequence[Input]) -> bool:
    return all(entry.name.endswith(".parquet") for entry in entries)


def _merge_by_name(entries: Iterable[Input]) -> list[Input]:
    """Sort by name and merge entries of the same file."""
    by_name: dict[str, Input] = {}
    names: dict[str, str] = {}
    for entry in entries:
        if names.setdefault(entry.path, entry.name) != entry.name:
            continue  # the same file from another pattern: it keeps its first name
        other = by_name.setdefault(entry.name, entry)
        if other.path != entry.path:
            raise InputError(
                f"{other.path} and {entry.path} would have the same name {entry.name} in the output;"
                " pass the folder above them instead of the files, so that their names differ"
            )
        if other.ranges != entry.ranges:
            by_name[entry.name] = _merge_ranges(other, entry)
    return [by_name[name] for name in sorted(by_name)]


def _merge_ranges(one: Input, other: Input) -> Input:
    if not one.ranges or not other.ranges:  # the whole file includes all its records
        return replace(one, ranges=(), digests=())
    found = one.records()
    return one.with_records(found | {span: digest or found.get(span, "") for span, digest in other.records().items()})


def _measure_sizes(entries: Sequence[Input]) -> tuple[Input, ...]:
    """Look up the size of every file, one request each: a missing file ends the run now, not days later."""
    sizes = list(storage.map_in_threads(lambda entry: storage.size(entry.path), entries))
    for entry, size in zip(entries, sizes, strict=True):
        last = entry.ranges[-1][1] if entry.ranges else 0
        if last > size:
            raise InputError(f"{entry.path}: has {size} bytes, but the index lists a record that ends at byte {last}")
    return tuple(replace(entry, size=size) for entry, size in zip(entries, sizes, strict=True))
