"""Hosts that an annotation of Common Crawl's index marks, as malware, phishing, spam, link shorteners, ...

An annotation is a table that is joined with the index: Parquet, or CSV with a header (gzip or not), on disk or on a
server. It names hosts by `surt_host_name`, labels in reverse order (com,example,blog); tables with host names in one of
`HOST_COLUMNS` are read as well. Other columns are somebody's judgments of the host, true or false or numbers:
`abuse_ut1_phishing` of the annotation spam-abuse, `wikipedia_spam`. The tools and examples are in Common Crawl's
repository cc-index-annotations. Judgments of single URLs are not read: they hold for one capture each.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from pipeline import effects, storage
from pipeline.lists.blocklists import MAX_INVALID_SHARE, ListError, parse_host
from pipeline.settings import Settings
from pipeline.storage.digests import sha256_of_file

if TYPE_CHECKING:
    import pyarrow as pa

SURT = "surt_host_name"
HOST_COLUMNS = ("url_host_name", "host", "domain", "url_host_registered_domain")
_CSV = (".csv", ".csv.gz")
_MAX_ROWS = 100_000_000  # of one table; Common Crawl's host index has 300 million, spam lists a few million
_MAX_BYTES = 4 << 30  # of a CSV, decoded


class Annotation(Settings):
    """A table of judgments of hosts, joined as an annotation of Common Crawl's index."""

    path: str = Field(description="the Parquet or CSV file, or its https://, s3:// or gs:// address")
    columns: tuple[str, ...] = Field(
        (), description="columns that block a host where they are true or not 0; empty: all Boolean columns;"
        " the column of host names itself blocks all of them"
    )  # fmt: skip
    sha256: str | None = Field(None, description="SHA-256 of the file, 64 hexadecimal digits")

    @model_validator(mode="before")
    @classmethod
    def _read_path(cls, values: Any) -> Any:
        return {"path": values} if isinstance(values, str) else values


def read_annotation(annotation: Annotation) -> Iterator[tuple[str, str]]:
    """Yield ("file column", host) for every host that a column marks.

    Raises ListError for another kind of file, StorageError for one that cannot be read.
    """
    path = annotation.path
    with storage.say_role("list"):
        try:
            if annotation.sha256 and (digest := sha256_of_file(path)) != annotation.sha256.lower():
                raise ListError(f"list {path}: its sha256 is {digest}, but the settings say {annotation.sha256}")
            with _open_table(path) as (schema, read):
                if len(set(schema.names)) < len(schema.names):
                    raise ListError(f"list {path}: has two columns of one name; rename one")
                key = _find_key(path, schema.names)
                columns = annotation.columns or _boolean_columns(path, schema)
                _check_columns(path, schema, columns, key)
                yield from _read_marked(path, read([*dict.fromkeys((key, *columns))]), key, columns)
        except storage.NoSuchFileError:
            raise ListError(
                f"list {path}: no such file; correct its path in the settings or remove the entry"
            ) from None
        except storage.DamagedFileError as error:
            raise ListError(f"list {error}") from error


Reader = Callable[[list[str]], Iterator["pa.RecordBatch"]]  # the batches of some columns


@contextmanager
def _open_table(path: str) -> Iterator[tuple[pa.Schema, Reader]]:
    if not path.lower().partition("?")[0].endswith(_CSV):
        with storage.read_parquet(path) as parquet:
            yield parquet.schema_arrow, lambda columns: parquet.iter_batches(columns=columns)
        return
    import pyarrow as pa
    from pyarrow import csv

    with storage.open_binary(path) as raw, storage.explain_errors(path, "read"):
        content = gzip.GzipFile(fileobj=raw) if effects.read_fully(raw, 2) == b"\x1f\x8b" else raw
        raw.seek(0)
        try:
            reader = csv.open_csv(pa.PythonFile(content, "r"))
            yield reader.schema, lambda columns: (batch.select(columns) for batch in _capped(path, reader))
        except (pa.ArrowException, EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
            raise ListError(f"list {path}: not a readable CSV file ({' '.join(str(error).split())[:80]})") from error


def _capped(path: str, batches: Any) -> Iterator[pa.RecordBatch]:
    size = 0
    for batch in batches:
        size += batch.nbytes
        if size > _MAX_BYTES:
            raise ListError(f"list {path}: has more than {_MAX_BYTES >> 30} GiB; choose its rows first")
        yield batch


def _find_key(path: str, names: Sequence[str]) -> str:
    found = next((name for name in (SURT, *HOST_COLUMNS) if name in names), None)
    if found is None:
        known = ", ".join((SURT, *HOST_COLUMNS))
        raise ListError(f"list {path}: names no hosts, it has none of the columns {known}")
    return found


def _boolean_columns(path: str, schema: pa.Schema) -> tuple[str, ...]:
    import pyarrow as pa

    found = tuple(field.name for field in schema if pa.types.is_boolean(field.type))
    if not found:
        others = ", ".join(schema.names[:20])
        raise ListError(f"list {path}: has no Boolean column; name those that block a host in `columns` ({others})")
    return found


def _check_columns(path: str, schema: pa.Schema, columns: Sequence[str], key: str) -> None:
    import pyarrow as pa

    for name in (name for name in columns if name != key):
        if name not in schema.names:
            raise ListError(f"list {path}: has no column {name}; it has {', '.join(schema.names[:20])}")
        kind = schema.field(name).type
        if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise ListError(f"list {path}: the column {name} is {kind}; expected true and false, or numbers")


def _read_marked(
    path: str, batches: Iterator[pa.RecordBatch], key: str, columns: Sequence[str]
) -> Iterator[tuple[str, str]]:
    file = PurePath(path.partition("?")[0]).name
    rows = invalid = 0
    for batch in batches:
        rows += batch.num_rows
        if rows > _MAX_ROWS:
            raise ListError(f"list {path}: has more than {_MAX_ROWS:,} rows; choose those that block a host first")
        for name in columns:
            for value in batch[key].filter(_marked(batch, name, key)).to_pylist():
                host = parse_host(_from_surt(str(value)) if key == SURT else str(value))
                if host:
                    yield f"{file} {name}", host
                elif (invalid := invalid + 1) > MAX_INVALID_SHARE * max(rows, 100):
                    raise ListError(f"list {path}: {value!r:.80} in {key} is no host; is it the right file?")


def _marked(batch: pa.RecordBatch, name: str, key: str) -> Any:
    import pyarrow.compute as pc

    column = batch[name]
    if name == key:
        return pc.is_valid(column)
    return pc.fill_null(column if column.type == "bool" else pc.not_equal(column, 0), False)


def _from_surt(name: str) -> str:
    """The host of a SURT key.

    >>> _from_surt("uk,co,example,blog"), _from_surt("com,example:8080)/path"), _from_surt("192.0.2.7")
    ('blog.example.co.uk', 'example.com', '192.0.2.7')
    """
    return ".".join(reversed(name.partition(")")[0].partition(":")[0].split(",")))
