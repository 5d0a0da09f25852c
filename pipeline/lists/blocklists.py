"""Read published lists of hosts, URLs and words, and look texts up in millions of entries.

Formats: one host or URL per line; hosts files (`0.0.0.0 name`); adblock host rules (`||name^`); plain or gzipped, with
`#` or `!` comments. Also UT1 (https://dsi.ut-capitole.fr/blacklists/, CC BY-SA 4.0): a folder or tar archive with
`<category>/domains` and `<category>/urls`, or the same as flat files `<category>.domains.txt`.

An entry takes ten bytes in memory: a 64-bit hash in a sorted array (with ten million entries, one lookup in 10^12 is
wrong) and 16 bits for the name of its list. A lookup is a binary search: 11 us with 1,000 entries, 14 us
with 3 million.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xxhash

from classifiers.urls import host_of, normalize_url, strip_www
from pipeline import storage
from pipeline.errors import UserError
from pipeline.settings import ListFile

SHIPPED = Path(__file__).parent
_PLAIN_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_HOSTS_FILE = re.compile(r"(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+(\S+)")
_UT1_NAME = re.compile(r"(?:^|/)([A-Za-z0-9_-]+)[./](domains|urls)(?:\.txt)?(\.gz)?$")

# Share of lines that are neither comment nor entry above which a file is refused: real lists have less than 0.1%.
MAX_INVALID_SHARE = 0.02

Entries = Iterable[tuple[str, str]]  # (name of the list, entry)


class ListError(UserError):
    """A list is missing, damaged, or not the file whose sha256 is in the settings."""


class HashTable:
    """Finds the list that contains a text, among millions of entries stored by hash."""

    def __init__(self, entries: Entries) -> None:
        hashes, sources = array("Q"), array("H")
        names: dict[str, int] = {}
        for name, entry in entries:
            hashes.append(xxhash.xxh3_64_intdigest(entry.encode()))
            sources.append(names.setdefault(name, len(names)))
        self._names = list(names)
        # Of several lists with the same entry, the first is reported: `unique` returns first positions.
        unique, first = np.unique(np.frombuffer(hashes, np.uint64), return_index=True)
        self._hashes: np.ndarray[tuple[int], np.dtype[np.uint64]] = unique
        self._sources = np.frombuffer(sources, np.uint16)[first]

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, text: str) -> str | None:
        """The name of the list that contains `text`, None if no list does."""
        wanted = xxhash.xxh3_64_intdigest(text.encode())
        at = int(np.searchsorted(self._hashes, np.uint64(wanted)))
        if at < len(self._hashes) and int(self._hashes[at]) == wanted:
            return self._names[int(self._sources[at])]
        return None


def locate(list_file: ListFile) -> Path:
    """The file, or the list of that name that ships with this package. Raises ListError if neither exists."""
    path = list_file.path.expanduser()
    if not _exists(path) and path.name == str(path) and _exists(SHIPPED / path):
        path = SHIPPED / path
    if not _exists(path):
        raise ListError(f"list {path}: no such file; correct its path in the settings or remove the entry")
    return path


def _exists(path: Path) -> bool:
    with storage.say_role("list"):
        return storage.exists(str(path))


def read_hosts(list_file: ListFile) -> Iterator[tuple[str, str]]:
    """Yield (name of the list, host). Invalid lines are skipped; ListError if more than 2% are invalid."""
    path = locate(list_file)
    return _add_name(path.name, _parse_entries(_read_content(path, list_file.sha256), str(path), parse_host))


def read_urls(list_file: ListFile) -> Iterator[tuple[str, str]]:
    """Yield (name of the list, normalized URL). Invalid lines are skipped as in `read_hosts`."""
    path = locate(list_file)
    return _add_name(path.name, _parse_entries(_read_content(path, list_file.sha256), str(path), _parse_url))


def read_words(list_file: ListFile) -> Iterator[str]:
    """Yield the words of a list, in lower case. Raises ListError for a line that is not letters and digits."""
    path = locate(list_file)
    for number, line in _read_lines(_read_content(path, list_file.sha256), str(path)):
        word = line.lower()
        if not re.fullmatch(r"[a-z0-9]+", word):
            raise ListError(
                f"{path}, line {number}: {line!r:.60} is not a word; words in URLs consist of letters a-z and digits"
            )
        yield word


def read_ut1(list_file: ListFile, categories: Sequence[str], kind: str) -> Iterator[tuple[str, str]]:
    """Yield (list, host) for `kind` "domains" or (list, URL key) for "urls", of the given categories."""
    path = locate(list_file)
    members = _ut1_folder(path) if storage.is_folder(str(path)) else _ut1_archive(path, list_file.sha256)
    if storage.is_folder(str(path)) and list_file.sha256:
        raise ListError(f"list {path}: a folder has no sha256; remove it, or pass the archive instead")
    seen = set()
    for category, found, read in members:
        seen.add(category)
        if category in categories and found == kind:
            parse = parse_host if kind == "domains" else _parse_url
            yield from _add_name(f"ut1 {category}", _parse_entries(read(), f"{path}, {category}/{kind}", parse))
    missing = sorted(set(categories) - seen)
    if missing:
        raise ListError(f"list {path}: no category {', '.join(missing)}; it has {', '.join(sorted(seen)) or 'none'}")


def ut1_files(list_file: ListFile, categories: Sequence[str]) -> list[Path]:
    """The files that `read_ut1` reads."""
    path = locate(list_file)
    if not storage.is_folder(str(path)):
        return [path]
    return [
        Path(file)
        for file in storage.list_files(str(path))
        if (name := _UT1_NAME.search(file)) and name[1] in categories
    ]


Member = tuple[str, str, Callable[[], bytes]]  # category, "domains" or "urls", function that reads its content


def _ut1_folder(path: Path) -> Iterator[Member]:
    for file in map(Path, storage.list_files(str(path))):
        name = _UT1_NAME.search(file.relative_to(path.parent).as_posix())
        if name:
            yield name[1], name[2], partial(_read_content, file, None)


def _ut1_archive(path: Path, sha256: str | None) -> Iterator[Member]:
    content = _read_content(path, sha256, decompress=False)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            aliases = _category_aliases(archive)
            for member in archive:
                name = _UT1_NAME.search(member.name)
                categories = (name[1], *aliases.get(name[1], ())) if name and member.isfile() else ()
                for category in categories:
                    yield category, name[2] if name else "", partial(_extract, archive, member)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ListError(f"list {path}: not a readable tar archive ({error}); fetch it again") from error


def _category_aliases(archive: tarfile.TarFile) -> dict[str, list[str]]:
    """Other names of a category by its name: the archive has symbolic links such as porn -> adult."""
    aliases: dict[str, list[str]] = {}
    for member in archive:
        if member.issym():
            aliases.setdefault(Path(member.linkname).name, []).append(Path(member.name).name)
    return aliases


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return _decompress(file.read() if file else b"", member.name)


def _read_content(path: Path, sha256: str | None, decompress: bool = True) -> bytes:
    raw = storage.read_named(path, "list")
    digest = hashlib.sha256(raw).hexdigest() if sha256 else None
    if sha256 and digest != sha256.lower():
        raise ListError(f"list {path}: its sha256 is {digest}, but the settings say {sha256}; is it another version?")
    return _decompress(raw, str(path)) if decompress else raw


def _decompress(raw: bytes, where: str) -> bytes:
    try:
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ListError(f"list {where}: damaged gzip ({error}); fetch it again") from error


def _read_lines(content: bytes, where: str) -> Iterator[tuple[int, str]]:
    if b"\x00" in content[:4096]:
        raise ListError(f"list {where}: not a text file")
    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.decode("utf-8", "replace").strip()
        if line and line[0] not in "#!":
            yield number, line.split(" #", 1)[0].rstrip()


def _add_name(name: str, entries: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((name, entry) for entry in entries)


def _parse_entries(content: bytes, where: str, parse: Callable[[str], str | None]) -> Iterator[str]:
    lines = invalid = 0
    for number, line in _read_lines(content, where):
        lines += 1
        entry = parse(line)
        if entry is not None:
            yield entry
            continue
        invalid += 1
        if invalid > MAX_INVALID_SHARE * max(lines, 100):
            raise ListError(f"list {where}, line {number}: {line!r:.80} is not a valid entry; is it the right file?")


def parse_host(line: str) -> str | None:
    """The host that a line of a list names, without `www.`; None for a line that names none."""
    text = line.lower()
    if not _PLAIN_HOST.fullmatch(text):
        in_hosts_file = _HOSTS_FILE.fullmatch(text)
        text = in_hosts_file[1] if in_hosts_file else text
        text = text.removeprefix("||").removesuffix("^").removeprefix("*.").strip(".")
        text = f"[{text}]" if text.count(":") > 1 and text[0] != "[" else text  # IPv6
        text = "" if re.search(r"[\s/<>\"]", text) else host_of(f"http://{text}/")
    return strip_www(text) or None


def _parse_url(line: str) -> str | None:
    url = line if "://" in line else f"http://{line}"
    return normalize_url(url) if host_of(url) and not re.search(r"\s", line) else None
