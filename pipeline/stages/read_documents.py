"""read_documents: every record of a JSONL, Parquet or HTML file becomes one Page or one Dropped, in file order.

A record is a line with a JSON object, a row, or an HTML file. Its text (or HTML), URL and date are found under the
field names of the settings; `metadata.url` is the field `url` inside the field `metadata`. Other fields are not read.
A record without a URL gets one that names its file and place, `file:///books.jsonl#1234`, and no host: it is never
blocked by URL, and never the duplicate of another because of it.

A line that is no JSON object is one Dropped with file, line and error; reading continues after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from typing import Any
from urllib.parse import quote

from pydantic import Field

from classifiers.urls import host_of, printable_url, registered_domain_of
from pipeline.documents import Dropped, Kind, Page
from pipeline.errors import UserError
from pipeline.reading.content_type import is_html
from pipeline.reading.file_formats import Format, describe_place, format_of
from pipeline.reading.html_files import HtmlFile, read_html_files
from pipeline.reading.inputs import Input
from pipeline.reading.jsonl import DamagedLine, Line, read_lines
from pipeline.reading.parquet_rows import DamagedRows, ParquetRow, column_names, read_row, read_rows
from pipeline.reading.units import Unit
from pipeline.settings import Settings
from pipeline.stages.read_warc import parse_date

NAME = "read_documents"
SIGNALS: tuple[str, ...] = ()
_URL_CHARACTERS = 2_000
_CHECKED_RECORDS = 100  # of the first file of a kind, before the run starts

Fields = tuple[str, ...]
Position = int  # bytes of the unit's file before a record


class ReadDocumentsSettings(Settings):
    """Where the records of JSONL and Parquet files have their text, and how large a record may be."""

    text: Fields = Field(("text", "raw_content"), description="fields with text, the first that a record has counts")
    html: Fields = Field(("html",), description="fields with HTML to extract text from, of records without text")
    url: Fields = Field(("url", "metadata.url"), description="fields with the URL; a record may have none")
    date: Fields = Field(
        ("fetched_at", "date", "timestamp", "created"), description="fields with the date of the capture (ISO 8601)"
    )
    url_prefix: str = Field(
        "",
        description="put before the path of an HTML file to make its URL, such as https:// for folders named after"
        " hosts; empty: such pages have no URL",
    )
    max_text_bytes: int = Field(8 << 20, ge=1 << 10, le=1 << 30, description="most bytes of a record's text or HTML")
    max_line_bytes: int = Field(16 << 20, ge=1 << 10, le=1 << 30, description="most bytes of a line of JSONL")


class ReadDocumentsReason(StrEnum):
    """Why a record is not a page."""

    UNREADABLE = "unreadable"  # no JSON object, or damaged bytes
    NO_TEXT = "no_text"  # neither text nor HTML
    TOO_LARGE = "too_large"
    NOT_HTML = "not_html"  # of an HTML file


REASONS = ReadDocumentsReason


def read_unit(unit: Unit, settings: ReadDocumentsSettings) -> Iterator[tuple[Position, Page | Dropped]]:
    """The pages and drops of the unit, in file order."""
    match format_of(unit.name):
        case Format.HTML:
            for file in read_html_files(unit.files, settings.max_text_bytes):
                yield file.position, _convert_file(file, settings)
        case Format.PARQUET:
            for row in read_rows(unit.path, unit.start, unit.end, _columns(settings)):
                yield row.position, _convert_row(row, unit.name, settings)
        case _:
            for line in read_lines(unit.path, unit.start, unit.end, cap=settings.max_line_bytes, name=unit.name):
                yield line.position, _convert_line(line, unit.name, settings)


def read_record(path: str, offset: int, name: str, settings: ReadDocumentsSettings) -> Page | Dropped:
    """The page that a run read at `offset` of this file. Raises UserError if there is none."""
    found: Page | Dropped | None = None
    match format_of(name):
        case Format.HTML:
            found = _convert_file(next(read_html_files([Input(name, path)], settings.max_text_bytes)), settings)
        case Format.PARQUET:
            row = read_row(path, offset, _columns(settings))
            found = _convert_row(row, name, settings) if row else None
        case _:
            found = _find_line(path, offset, name, settings)
    if found is None:
        raise UserError(f"{path}: no record there: {describe_place(name, offset)}; the file has changed since the run")
    return found


def _find_line(path: str, offset: int, name: str, settings: ReadDocumentsSettings) -> Page | Dropped | None:
    cap, last = settings.max_line_bytes, 1 << 62
    direct = read_lines(path, offset, offset + 1, cap=cap, name=name)  # of a plain file; positions are offsets
    everything = read_lines(path, 0, last, cap=cap, name=name)
    lines: Iterable[Line | DamagedLine] = (line for lines in (direct, everything) for line in lines)
    found = next((line for line in lines if line.offset == offset), None)
    return _convert_line(found, name, settings) if found else None


# --- one record ---


def _convert_line(line: Line | DamagedLine, name: str, settings: ReadDocumentsSettings) -> Page | Dropped:
    place = f"{name}, line {line.number:,}" if line.number else describe_place(name, line.offset)
    page = _make_page(name, line.offset, "", "")
    if isinstance(line, DamagedLine):
        return Dropped(page, NAME, ReadDocumentsReason.UNREADABLE, detail=f"{place}: {line.error}; the rest is lost")
    if line.length > settings.max_line_bytes:
        return Dropped(page, NAME, ReadDocumentsReason.TOO_LARGE, line.length, settings.max_line_bytes, place)
    try:
        return _convert_values(_parse_object(line.content), name, line.offset, place, settings)
    except ValueError as error:
        return Dropped(page, NAME, ReadDocumentsReason.UNREADABLE, detail=f"{place}: {str(error)[:200]}")


def _parse_object(line: bytes) -> Mapping[str, Any]:
    """Raises ValueError, also for nesting deeper than Python's parser goes."""
    try:
        values = json.loads(line.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, found a {type(values).__name__}")
    return values


def _convert_row(row: ParquetRow | DamagedRows, name: str, settings: ReadDocumentsSettings) -> Page | Dropped:
    place = describe_place(name, row.number)
    if isinstance(row, DamagedRows):
        page = _make_page(name, row.number, "", "")
        return Dropped(page, NAME, ReadDocumentsReason.UNREADABLE, detail=f"{place}: {row.error}")
    return _convert_values(row.values, name, row.number, place, settings)


def _convert_values(
    values: Mapping[str, Any], name: str, offset: int, place: str, settings: ReadDocumentsSettings
) -> Page | Dropped:
    text, html = _first_text(values, settings.text), _first_text(values, settings.html)
    url, date = (_first_text(values, fields) for fields in (settings.url, settings.date))
    page = _make_page(name, offset, _as_string(url), _as_string(date))
    content, kind = (text, Kind.TEXT) if text else (html, Kind.HTML)
    if not content:
        fields = ", ".join([*settings.text, *settings.html])
        return Dropped(page, NAME, ReadDocumentsReason.NO_TEXT, detail=f"{place}: no text in {fields}"[:200])
    charset = "utf-8" if isinstance(content, str) or kind is Kind.TEXT else None
    encoded = content.encode("utf-8", "replace") if isinstance(content, str) else content
    return _check_size(replace(page, content=encoded, kind=kind, http_charset=charset), len(encoded), place, settings)


def _convert_file(file: HtmlFile, settings: ReadDocumentsSettings) -> Page | Dropped:
    url = f"{settings.url_prefix}{quote(file.name)}" if settings.url_prefix else ""
    page = replace(_make_page(file.name, 0, url, ""), content=file.content)
    if not file.content.strip():
        return Dropped(page, NAME, ReadDocumentsReason.NO_TEXT, detail=f"{file.name}: the file is empty")
    if not is_html("", "text/html", file.content):
        return Dropped(page, NAME, ReadDocumentsReason.NOT_HTML, detail=file.name)
    return _check_size(page, file.size, file.name, settings)


def _check_size(page: Page, size: int, place: str, settings: ReadDocumentsSettings) -> Page | Dropped:
    if size > settings.max_text_bytes:
        return Dropped(page, NAME, ReadDocumentsReason.TOO_LARGE, size, settings.max_text_bytes, place)
    return page


def _make_page(name: str, offset: int, url: str, date: str) -> Page:
    url = printable_url(url)
    host = host_of(url) if url[:8].lower().startswith(("http://", "https://")) else ""
    return Page(
        url=url or f"file:///{quote(name)}#{offset}",
        fetched_at=parse_date(date),
        warc_file=name,
        warc_offset=offset,
        content=b"",
        host=host,
        registered_domain=registered_domain_of(host),
    )


def _first_text(values: Mapping[str, Any], fields: Fields) -> str | bytes:
    """The first of the fields that holds text that is not blank; "" if there is none."""
    for name in fields:
        value = _look_up(values, name)
        if isinstance(value, (str, bytes)) and value.strip():
            return value
    return ""


def _look_up(values: Mapping[str, Any], name: str) -> Any:
    if name in values:
        return values[name]
    outer, _, inner = name.partition(".")
    nested = values.get(outer) if inner else None
    return _look_up(nested, inner) if isinstance(nested, Mapping) else None


def _as_string(value: str | bytes) -> str:
    """Without lone surrogates, which JSON can spell and UTF-8 cannot."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text[:_URL_CHARACTERS].encode("utf-8", "replace").decode().strip()


def _columns(settings: ReadDocumentsSettings) -> set[str]:
    """The columns of a Parquet file that can hold the fields."""
    fields = (*settings.text, *settings.html, *settings.url, *settings.date)
    return {*fields, *(name.partition(".")[0] for name in fields)}


# --- before the run ---


def check_inputs(inputs: Sequence[Input], settings: ReadDocumentsSettings) -> None:
    """Looks for text in the first records of the first JSONL and Parquet file. Raises UserError if they have none.

    Otherwise a wrong field name would drop every record of a long run.
    """
    for kind in (Format.JSONL, Format.PARQUET):
        first = next((entry for entry in inputs if format_of(entry.name) is kind and entry.size), None)
        if first is not None:
            found = column_names(first.path) if kind is Format.PARQUET else _field_names(first, settings)
            _check_fields(first.path, found, settings)


def _check_fields(path: str, found: Sequence[str], settings: ReadDocumentsSettings) -> None:
    wanted = (*settings.text, *settings.html)
    if not {name.partition(".")[0] for name in wanted} & {*found} and not {*wanted} & {*found}:
        raise UserError(
            f"{path}: no field {' or '.join(wanted)}; it has {', '.join(list(found)[:12]) or 'no line of JSON'}"
            " (name the one with the text by --set read_documents.text=NAME)"
        )


def _field_names(entry: Input, settings: ReadDocumentsSettings) -> list[str]:
    lines = read_lines(entry.path, 0, entry.size, cap=settings.max_line_bytes, name=entry.name)
    names: dict[str, None] = {}
    for line in islice(lines, _CHECKED_RECORDS):
        if isinstance(line, Line) and line.length <= settings.max_line_bytes:
            try:
                names.update(dict.fromkeys(_parse_object(line.content)))
            except ValueError:
                continue
    return list(names)
