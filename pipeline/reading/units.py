"""Units of work: byte ranges of the input, cut from the sizes of the files alone. HTML files are grouped instead.

A unit owns the records that *start* inside its range; its reader (warc.py, jsonl.py, parquet_rows.py) finds the first
one. So a crawl of 90,000 files is cut without opening one, a large file is distributed over all workers,
and the boundaries depend on the data and one setting, not on the number of workers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby, pairwise

from pydantic import Field

from pipeline.reading.file_formats import Format, format_of
from pipeline.reading.inputs import Input
from pipeline.settings import Settings

UNIT_BYTES = 64_000_000  # about 2,000 pages of Common Crawl: a minute of extraction; a lost unit costs little
# Smaller files are cut as well, so that all cores of a laptop work on one: two were no faster than one on 47 MB. A unit
# more costs nothing that can be measured there.
_PARTS = 16
_LEAST_BYTES = 2_000_000  # about 100 pages: two seconds of extraction
_FILES_PER_UNIT = 250  # HTML files


class PrepareSettings(Settings):
    """Work unit size and error budget of the prepare job."""

    unit_bytes: int | None = Field(
        None,
        ge=1,
        description="most bytes of input files, as stored, in one unit of work; left out: 64 MB, and less of smaller"
        " files, so that all workers get a part",
    )
    max_error_share: float = Field(
        0.05, ge=0, le=1, description="share of pages that may be unreadable or crash before the run fails"
    )
    drop_text: bool = Field(
        False,
        description="store the text of dropped documents in drops/, where a text was extracted: personal data is"
        " replaced as in shards, names of people are not, and text that was dropped as harmful is in it",
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """One range of one input file."""

    name: str  # the input's name, as in the rows of the output
    path: str
    start: int
    end: int
    ranges: tuple[tuple[int, int], ...] = ()  # [start, end) of chosen records; empty: all that start in [start, end)
    files: tuple[Input, ...] = ()  # HTML: the files of the unit, of which `name` and `path` are the first
    digests: tuple[str, ...] = ()  # of the payloads of `ranges`, as in Input

    @property
    def key(self) -> str:
        """The file name of this unit's outputs: readable, valid on every storage, unique."""
        what: tuple[object, ...] = (self.name, self.start, self.end, self.ranges)
        if self.files:
            what = (*what, [(file.name, file.size) for file in self.files])
        if self.digests:
            what = (*what, self.digests)
        digest = blake2b(repr(what).encode(), digest_size=6).hexdigest()
        base = re.sub(r"[^A-Za-z0-9._-]+", "_", self.name.rsplit("/", 1)[-1]).lstrip(".")[-80:]
        return f"{base}-{self.start:012d}-{digest}"

    @property
    def size(self) -> int:
        """Compressed bytes that the unit reads."""
        return self.bytes_before(self.end)

    def bytes_before(self, offset: int) -> int:
        """Compressed bytes of the unit before `offset` of its file."""
        return sum(max(min(end, offset) - start, 0) for start, end in self.ranges or ((self.start, self.end),))


def cut_units(inputs: Iterable[Input], unit_bytes: int | None = None) -> list[Unit]:
    """All units of the inputs, of at most `unit_bytes` where a file can be cut; None: as suits the size of the file."""
    if unit_bytes is not None and unit_bytes < 1:
        raise ValueError(f"unit_bytes is {unit_bytes}; a unit needs at least one byte (left out: {UNIT_BYTES})")
    units: list[Unit] = []
    for is_html, group in groupby(inputs, lambda entry: format_of(entry.name) is Format.HTML):
        entries = list(group)
        units += _group_files(entries, unit_bytes) if is_html else (u for e in entries for u in _cut(e, unit_bytes))
    return units


def _most_bytes(size: int, unit_bytes: int | None) -> int:
    """Of a unit of a file of `size` bytes. It follows from the file alone: more files or workers change no unit."""
    return unit_bytes or min(UNIT_BYTES, max(_LEAST_BYTES, -(-size // _PARTS)))


def _group_files(entries: Iterable[Input], unit_bytes: int | None) -> Iterator[Unit]:
    """Small files share a unit, which has files of its own in the output's work folder."""
    most = unit_bytes or UNIT_BYTES
    files: list[Input] = []
    filled = 0
    for entry in entries:
        if files and (filled + entry.size > most or len(files) == _FILES_PER_UNIT):
            yield Unit(files[0].name, files[0].path, 0, filled, files=tuple(files))
            files, filled = [], 0
        files.append(entry)
        filled += entry.size
    if files:
        yield Unit(files[0].name, files[0].path, 0, filled, files=tuple(files))


def _cut(entry: Input, unit_bytes: int | None) -> Iterator[Unit]:
    if entry.ranges:
        yield from _group_ranges(entry, unit_bytes)
    elif format_of(entry.name) is Format.WARC and not entry.name.endswith(".gz"):
        # Plain or zstd WARC: one unit, because no record can be found from the middle of the file.
        yield Unit(entry.name, entry.path, 0, entry.size)
    else:  # equal parts, instead of full ones and a small remainder
        parts = max(1, -(-entry.size // _most_bytes(entry.size, unit_bytes)))
        cuts = [entry.size * part // parts for part in range(parts + 1)]
        for start, end in pairwise(cuts):
            yield Unit(entry.name, entry.path, start, end)


def _group_ranges(entry: Input, unit_bytes: int | None) -> Iterator[Unit]:
    most = _most_bytes(sum(end - start for start, end in entry.ranges), unit_bytes)
    group: list[int] = []
    filled = 0
    for number, (start, end) in enumerate(entry.ranges):
        if group and filled + end - start > most:
            yield _make_unit(entry, group)
            group, filled = [], 0
        group.append(number)
        filled += end - start
    yield _make_unit(entry, group)


def _make_unit(entry: Input, group: list[int]) -> Unit:
    chosen = slice(group[0], group[-1] + 1)
    ranges = entry.ranges[chosen]
    return Unit(entry.name, entry.path, ranges[0][0], ranges[-1][1], ranges, digests=entry.digests[chosen])
