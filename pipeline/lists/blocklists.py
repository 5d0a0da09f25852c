"""Lists of hosts and URLs, as publishers write them, in memory that stays small for millions of entries.

Formats: one host or URL a line; hosts files (`0.0.0.0 name`); adblock host rules (`||name^`); all gzipped or not, with
`#` or `!` comments. And UT1 (https://dsi.ut-capitole.fr/blacklists/, CC BY-SA 4.0): a folder or tar archive with
`<category>/domains` and `<category>/urls`, or the same flattened to `<category>.domains.txt`.

An entry takes ten bytes: 64 bits of its hash in a sorted array (with ten million entries one lookup in 10^12 is wrong)
and two that name its list. The entry's text need not be kept, since a match is equal to what was looked up.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xxhash

from classifiers.urls import host_of, normalize_url
from pipeline.settings import ListFile

SHIPPED = Path(__file__).parent
_PLAIN_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_HOSTS_FILE = re.compile(r"(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+(\S+)")
_UT1_NAME = re.compile(r"(?:^|/)([A-Za-z0-9_-]+)[./](domains|urls)(?:\.txt)?(\.gz)?$")

_MAX_BROKEN = 0.02  # share of lines that are neither comment nor entry: real lists stay below 0.1%, other files do not

Entries = Iterable[tuple[str, str]]  # (name of the list, entry)


class ListError(ValueError):
    """A list is missing, damaged, or not what the configuration says."""


class Table:
    """Which list holds this text? Membership of millions of texts by hash."""

    def __init__(self, entries: Entries) -> None:
        hashes, sources = array("Q"), array("H")
        names: dict[str, int] = {}
        for name, entry in entries:
            hashes.append(xxhash.xxh3_64_intdigest(entry.encode()))
            sources.append(names.setdefault(name, len(names)))
        self._names = list(names)
        # The first list that holds an entry answers for it: `unique` keeps first positions.
        unique, first = np.unique(np.frombuffer(hashes, np.uint64), return_index=True)
        self._hashes: np.ndarray[tuple[int], np.dtype[np.uint64]] = unique
        self._sources = np.frombuffer(sources, np.uint16)[first]

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, text: str) -> str | None:
        """The name of the list that holds `text`."""
        wanted = xxhash.xxh3_64_intdigest(text.encode())
        at = int(np.searchsorted(self._hashes, np.uint64(wanted)))
        if at < len(self._hashes) and int(self._hashes[at]) == wanted:
            return self._names[int(self._sources[at])]
        return None


def locate(list_file: ListFile) -> Path:
    """The file itself, or the list of that name that ships with us. Raises ListError if neither is there."""
    path = list_file.path.expanduser()
    if not _is_there(path) and path.name == str(path) and (SHIPPED / path).exists():
        path = SHIPPED / path
    if not _is_there(path):
        raise ListError(f"list {path}: no such file; correct its path in the configuration or remove the entry")
    return path


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError as error:
        raise ListError(f"list {path}: no permission to read it; check its owner and mode") from error


def read_hosts(list_file: ListFile) -> Iterator[tuple[str, str]]:
    """(name of the list, host). Published lists hold a few broken lines; ListError when there are too many of them."""
    path = locate(list_file)
    return _named(path.name, _parsed(_content(path, list_file.sha256), str(path), _host))


def read_urls(list_file: ListFile) -> Iterator[tuple[str, str]]:
    """(name of the list, normalized URL)"""
    path = locate(list_file)
    return _named(path.name, _parsed(_content(path, list_file.sha256), str(path), _url))


def read_words(list_file: ListFile) -> Iterator[str]:
    path = locate(list_file)
    for number, line in _lines(_content(path, list_file.sha256), str(path)):
        word = line.lower()
        if not re.fullmatch(r"[a-z0-9]+", word):
            raise ListError(
                f"{path}, line {number}: {line!r:.60} is no word; URLs are compared as letters and digits only"
            )
        yield word


def read_ut1(list_file: ListFile, categories: Sequence[str], kind: str) -> Iterator[tuple[str, str]]:
    """(category, host) for `kind` "domains", (category, URL key) for "urls", of the chosen categories."""
    path = locate(list_file)
    members = _ut1_folder(path) if path.is_dir() else _ut1_archive(path, list_file.sha256)
    if path.is_dir() and list_file.sha256:
        raise ListError(f"list {path}: a folder has no sha256; name the archive that it came from")
    seen = set()
    for category, found, read in members:
        seen.add(category)
        if category in categories and found == kind:
            parse = _host if kind == "domains" else _url
            yield from _named(f"ut1 {category}", _parsed(read(), f"{path}, {category}/{kind}", parse))
    missing = sorted(set(categories) - seen)
    if missing:
        raise ListError(f"list {path}: no category {', '.join(missing)}; it has {', '.join(sorted(seen)) or 'none'}")


def ut1_files(list_file: ListFile, categories: Sequence[str]) -> list[Path]:
    """What `read_ut1` reads."""
    path = locate(list_file)
    if not path.is_dir():
        return [path]
    return [file for file in sorted(path.rglob("*")) if (name := _UT1_NAME.search(str(file))) and name[1] in categories]


Member = tuple[str, str, Callable[[], bytes]]  # category, domains or urls, its bytes


def _ut1_folder(path: Path) -> Iterator[Member]:
    for file in sorted(path.rglob("*")):
        name = _UT1_NAME.search(file.relative_to(path.parent).as_posix())
        if name and file.is_file():
            yield name[1], name[2], partial(_content, file, None)


def _ut1_archive(path: Path, sha256: str | None) -> Iterator[Member]:
    _content(path, sha256, unpack=False)
    try:
        with tarfile.open(path) as archive:
            aliases: dict[str, list[str]] = {}  # the archive calls one folder by two names: porn -> adult
            for member in archive:
                if member.issym():
                    aliases.setdefault(Path(member.linkname).name, []).append(Path(member.name).name)
            for member in archive:
                name = _UT1_NAME.search(member.name)
                if name and member.isfile():
                    for category in (name[1], *aliases.get(name[1], ())):
                        yield category, name[2], partial(_extract, archive, member)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ListError(f"list {path}: not a readable tar archive ({error}); fetch it again") from error


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return _unpacked(file.read() if file else b"", member.name)


def _content(path: Path, sha256: str | None, unpack: bool = True) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ListError(f"list {path}: cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(raw).hexdigest() if sha256 else None
    if sha256 and digest != sha256.lower():
        raise ListError(f"list {path}: its sha256 is {digest}, the configuration says {sha256}; is it another version?")
    return _unpacked(raw, str(path)) if unpack else raw


def _unpacked(raw: bytes, where: str) -> bytes:
    try:
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ListError(f"list {where}: damaged gzip ({error}); fetch it again") from error


def _lines(content: bytes, where: str) -> Iterator[tuple[int, str]]:
    if b"\x00" in content[:4096]:
        raise ListError(f"list {where}: not a text file")
    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.decode("utf-8", "replace").strip()
        if line and line[0] not in "#!":
            yield number, line.split(" #", 1)[0].rstrip()


def _named(name: str, entries: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((name, entry) for entry in entries)


def _parsed(content: bytes, where: str, parse: Callable[[str], str | None]) -> Iterator[str]:
    lines = broken = 0
    for number, line in _lines(content, where):
        lines += 1
        entry = parse(line)
        if entry is not None:
            yield entry
            continue
        broken += 1
        if broken > _MAX_BROKEN * max(lines, 100):
            raise ListError(
                f"list {where}, line {number}: {line!r:.80} is not what this list should hold; is it the right file?"
            )


def _host(line: str) -> str | None:
    text = line.lower()
    if not _PLAIN_HOST.fullmatch(text):
        in_hosts_file = _HOSTS_FILE.fullmatch(text)
        text = in_hosts_file[1] if in_hosts_file else text
        text = text.removeprefix("||").removesuffix("^").removeprefix("*.").strip(".")
        text = "" if re.search(r"[\s/<>\"]", text) else host_of(f"http://{text}/")
    return text.removeprefix("www.") or None


def _url(line: str) -> str | None:
    url = line if "://" in line else f"http://{line}"
    return normalize_url(url) if host_of(url) and not re.search(r"\s", line) else None
