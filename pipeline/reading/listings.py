"""Listings (warc.paths.gz) and index rows: which files and records they name, and where those are.

A listing that was fetched from a server is hostile input. It is streamed with caps, and it may name only files of its
own server (or of `--prefix`): otherwise it could make a run read and publish files of this machine.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from pipeline import effects, storage
from pipeline.errors import UserError
from pipeline.reading.first_bytes import describe_binary

COMMON_CRAWL = "https://data.commoncrawl.org/"
MAX_PATH_BYTES = 4096  # of one line; PATH_MAX of Linux
MAX_LINES = 2_000_000  # of one listing; a crawl has 100,000 files
MAX_LISTING_BYTES = 1 << 30  # decoded; the listing of a crawl has 13 MB
MAX_ROWS = 200_000_000  # of an index
COLUMNS = ("warc_filename", "warc_record_offset", "warc_record_length")
DIGEST = "content_digest"  # SHA-1 of the payload in base32; not every index has it
_START_BYTES = 512
_SHA1 = re.compile(r"(?:sha1:)?([A-Z2-7]{32})")
_NO_PATH = re.compile(r"[\x00-\x1f\x7f<>\\]")


class InputError(UserError):
    """An input is missing, ambiguous or damaged."""


def read_listing(listing: str) -> Iterator[str]:
    """The paths of a listing, one a line, gzip or not; empty lines and comments are left out."""
    with storage.explain_errors(listing, "read"):
        yield from _read_paths(listing)


def _read_paths(listing: str) -> Iterator[str]:
    read = 0
    try:
        with storage.open_binary(listing) as raw:
            is_gzip = (start := effects.read_fully(raw, _START_BYTES)).startswith(b"\x1f\x8b")
            if found := describe_binary(start):
                raise InputError(f"{listing}: is no list of paths, but {found}")
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if is_gzip else raw as lines:
                for number, line in enumerate(iter(lambda: lines.readline(MAX_PATH_BYTES + 2), b""), 1):
                    read += len(line)
                    if len(line) > MAX_PATH_BYTES + 1 or number > MAX_LINES or read > MAX_LISTING_BYTES:
                        raise InputError(
                            f"{listing}: not a list of paths: above {MAX_LINES:,} lines, {MAX_LISTING_BYTES >> 20:,} "
                            f"MiB or {MAX_PATH_BYTES:,} bytes a line"
                        )
                    path = line.decode().strip()
                    if path and not path.startswith("#"):
                        _refuse_no_path(path, f"{listing}, line {number}")
                        yield path
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: not a readable list of paths ({error}); fetch it again") from error


def _refuse_no_path(path: str, where: str) -> None:
    if _NO_PATH.search(path):
        raise InputError(f"{where}: {path[:60]!r} is no path; is this a web page or another format?")


def read_index_rows(file: str) -> Iterator[tuple[str, int, int, str]]:
    """(file, first byte, length, digest of the payload or "") of the records that an index in Parquet names."""
    import pyarrow as pa

    with storage.read_parquet(file) as parquet:
        schema = parquet.schema_arrow
        missing = set(COLUMNS) - set(schema.names)
        if missing:
            raise InputError(f"{file}: lacks the columns {', '.join(sorted(missing))} of Common Crawl's index")
        kinds = [schema.field(name).type for name in COLUMNS]
        if not _is_text(kinds[0]) or not all(map(pa.types.is_integer, kinds[1:])):
            found = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, kinds, strict=True))
            raise InputError(f"{file}: the columns are {found}; expected text and two columns of whole numbers")
        has_digest = DIGEST in schema.names and _is_text(schema.field(DIGEST).type)
        columns, number = [*COLUMNS, DIGEST] if has_digest else [*COLUMNS], 0
        for batch in parquet.iter_batches(columns=columns):
            for name, offset, length, *digest in zip(*(batch[column].to_pylist() for column in columns), strict=True):
                number += 1
                _check_row((name, offset, length), f"{file}, row {number}")
                yield name, offset, length, sha1_of(digest[0]) if digest else ""
        if number > MAX_ROWS:
            raise InputError(f"{file}: has {number:,} rows, more than {MAX_ROWS:,}")


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def sha1_of(digest: str | None) -> str:
    """The digest without its prefix; "" for none, or for one of another algorithm, which is not checked.

    >>> sha1_of("sha1:VGKMV2NVDHMQWQWUVTFOPQW4BXD3NHRK"), sha1_of("sha256:abc"), sha1_of(None)
    ('VGKMV2NVDHMQWQWUVTFOPQW4BXD3NHRK', '', '')
    """
    found = _SHA1.fullmatch(str(digest or ""))
    return found[1] if found else ""


def _check_row(row: tuple[str | None, int | None, int | None], where: str) -> None:
    name, offset, length = row
    if not name or offset is None or length is None:
        raise InputError(f"{where}: a column is empty")
    if len(name) > MAX_PATH_BYTES:
        raise InputError(f"{where}: a path of {len(name):,} characters")
    _refuse_no_path(name, where)
    if offset < 0 or length <= 0:
        raise InputError(f"{where}: offset {offset} and length {length} are no record; the index is damaged")


def path_resolver(listing: str, example: str, prefix: str | None) -> Callable[[str], str]:
    """A function from listed names to paths; the docstring of inputs.py has the rule. `example` is one of the names.

    Raises InputError for a name that a listing of another machine must not have.
    """
    base = prefix if prefix is not None else _base_of_listing(listing, example)
    origins = {_origin(place) for place in (listing, prefix) if place and storage.is_remote(place)}

    def locate(name: str) -> str:
        if storage.is_remote(listing):
            _refuse_foreign(name, listing, origins)
        if is_absolute(name):
            return name
        return f"{base.rstrip('/')}/{name}" if base else name

    return locate


def _refuse_foreign(name: str, listing: str, origins: Iterable[tuple[str, str]]) -> None:
    is_own = _origin(name) in origins if "://" in name else not name.startswith("/")
    if not is_own or ".." in name.split("/") or "::" in name:
        raise InputError(
            f"{listing}: names {name[:100]!r}, which is not on its own server; a listing of a server may not"
        )


def _origin(url: str) -> tuple[str, str]:
    """Scheme and server, or bucket; a user name in it makes it another server."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    scheme = parts.scheme.lower()
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return scheme, parts.netloc.lower().removesuffix(default) if default else parts.netloc


def _base_of_listing(listing: str, example: str) -> str:
    """The folder that listed paths are relative to; `example` is one of them."""
    top = example.split("/", 1)[0]
    folder = listing if storage.is_remote(listing) else os.path.abspath(listing)
    folder = folder.rpartition("/")[0]
    if f"/{top}/" in f"{folder}/":  # .../crawl-data/CC-MAIN-2026-43/warc.paths.gz and crawl-data/CC-MAIN-2026-43/...
        folder = f"{folder}/".rpartition(f"/{top}/")[0]
    is_mirror = storage.is_remote(listing) or storage.exists(os.path.join(folder, example))
    return folder if is_mirror or top != "crawl-data" else COMMON_CRAWL


def is_absolute(name: str) -> bool:
    """A URL or an absolute local path."""
    return "://" in name or name.startswith("/")


def listed_name(name: str) -> str:
    """The listed path without scheme and host."""
    return re.sub(r"^[A-Za-z0-9]+://[^/]*/|^/+", "", name)
