"""Read the pages of a unit, whatever the format of its file: by read_warc or by read_documents.

A record comes with its position, the bytes of the unit's file (or files) before it, for progress and forecasts.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.documents import Dropped, Page
from pipeline.reading.file_formats import Format, format_of
from pipeline.reading.units import Unit
from pipeline.stages import read_documents, read_warc
from pipeline.stages.read_documents import ReadDocumentsSettings
from pipeline.stages.read_warc import OtherRecord, ReadWarcSettings


def read_unit(
    unit: Unit, warc: ReadWarcSettings, documents: ReadDocumentsSettings
) -> Iterator[tuple[int, Page | Dropped | OtherRecord]]:
    """(position, record) for every record of the unit, in file order."""
    if format_of(unit.name) is not Format.WARC:
        yield from read_documents.read_unit(unit, documents)
        return
    for found in read_warc.read_unit(unit, warc):
        yield _warc_position(found, unit), found


def _warc_position(found: Page | Dropped | OtherRecord, unit: Unit) -> int:
    if isinstance(found, OtherRecord):
        return unit.start
    return found.record.warc_offset if isinstance(found, Dropped) else found.warc_offset


def read_record(
    path: str, offset: int, name: str, warc: ReadWarcSettings, documents: ReadDocumentsSettings
) -> Page | Dropped:
    """The page that a run read at this place, which its row names. Raises UserError if there is none."""
    if format_of(name) is Format.WARC:
        return read_warc.read_record(path, offset, name=name, settings=warc)
    return read_documents.read_record(path, offset, name, documents)
