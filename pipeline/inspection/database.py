"""A finished run as a DuckDB database: views over its Parquet files, nothing copied, nothing written.

    kept         rows of shards/
    dropped      rows of drops/
    duplicates   rows of duplicates/ where the run has them, else the dropped pages that name the page they duplicate
    candidates   rows of candidates/
    signals      every measurement of every page, a column each, with `kept`, `stage` and `reason`

Rows of `kept`, `dropped` and `candidates` also have `part` and `row`: the number of their file, and of the row in it.
The connection reads only the folder of the run: no other file, no network, no extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline import storage
from pipeline.errors import UserError
from pipeline.publishing.manifest import check_parts
from pipeline.storage.layout import Layout, read_manifest
from pipeline.storage.paths import local_path

if TYPE_CHECKING:
    import duckdb

VIEWS = ("kept", "dropped", "duplicates", "signals")
_FOLDERS = {"kept": "shards", "dropped": "drops", "candidates": "candidates"}


@contextmanager
def open_run(output: str, other: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database of a finished run on this machine. Raises UserError for another folder, or without DuckDB.

    The views of an `other` run are in the schema `other`.
    """
    connection = connect(output, other)
    try:
        yield connection
    finally:
        connection.close()


def connect(output: str, other: str | None = None) -> duckdb.DuckDBPyConnection:
    """As `open_run`, for callers that close it themselves."""
    try:
        import duckdb
    except ImportError:
        raise UserError(
            "this command needs the package duckdb; install it with: pip install 'gristmill[explore]'"
        ) from None
    layouts = {"main": check_finished(output), **({"other": check_finished(other)} if other else {})}
    connection = duckdb.connect(":memory:", config={"temp_directory": "", "autoinstall_known_extensions": "false"})
    for schema, layout in layouts.items():
        check_parts(layout, (*_FOLDERS.values(), "duplicates"))
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for statement in _view_statements(layout, schema):
            query(connection, statement)
    folders = (local_path(layout.root).rstrip("/") + "/" for layout in layouts.values())
    connection.execute(f"SET allowed_directories=[{', '.join(map(_quote, folders))}]")
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    return connection


def check_finished(output: str) -> Layout:
    """The layout of a finished run. Raises UserError for a folder that is none, or on an object store."""
    layout = Layout(output)
    if storage.is_remote(output):
        raise UserError(
            f"{output}: copy the run to this machine first; only explain, audit, report and status read it there"
        )
    if "*" in output or "?" in output:
        raise UserError(f"{output}: DuckDB reads * and ? in a path as patterns; rename the folder")
    if not storage.exists(layout.manifest):
        raise UserError(f"{output}: no manifest.json; give the --output of a finished `gristmill curate`")
    return layout


def _view_statements(layout: Layout, schema: str) -> Iterator[str]:
    manifest = read_manifest(layout)
    for view, folder in _FOLDERS.items():
        if parts := _parts(layout, manifest, folder):
            yield f"CREATE VIEW {schema}.{view} AS {_read(parts)}"
    parts = _parts(layout, manifest, "duplicates")
    own = _read(parts) if parts else f"SELECT * FROM {schema}.dropped WHERE duplicate_of IS NOT NULL"  # noqa: S608
    yield f"CREATE VIEW {schema}.duplicates AS {own}"
    yield (
        f"CREATE VIEW {schema}.signals AS "  # noqa: S608 - fixed names
        f"SELECT id, url, true AS kept, NULL AS stage, NULL AS reason, unnest(signals) FROM {schema}.kept "
        "UNION ALL BY NAME "
        f"SELECT id, url, false AS kept, stage, reason, unnest(signals) FROM {schema}.dropped"
    )


def _parts(layout: Layout, manifest: Mapping[str, Any], folder: str) -> list[str]:
    return [storage.join(local_path(layout.root), entry["path"]) for entry in manifest[folder]]


def _read(paths: Sequence[str]) -> str:
    files = ", ".join(_quote(path) for path in paths)
    return (
        "SELECT * EXCLUDE (filename, file_row_number), "  # noqa: S608 - the paths are quoted
        "CAST(regexp_extract(filename, '(\\d+)\\.parquet$', 1) AS INTEGER) AS part, file_row_number AS row "
        f"FROM read_parquet([{files}], filename=true, file_row_number=true)"
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def query(
    connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows. Raises UserError, with DuckDB's message on one line, for a statement that fails.

    DamagedFileError for rows that cannot be decoded: for these DuckDB has no class of errors and names no file.
    """
    import duckdb

    try:
        result = connection.execute(sql, list(values))
    except duckdb.Error as error:
        message = " ".join(str(error).split())[:400]
        if type(error) is duckdb.Error:
            raise storage.DamagedFileError(
                f"a Parquet file of the run is damaged ({message}); `gristmill audit` names it"
            ) from None
        raise UserError(f"sql: {message}") from None
    return ([column[0] for column in result.description], result.fetchall()) if result.description else ([], [])


def query_rows(connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows as dictionaries."""
    names, rows = query(connection, sql, values)
    return [dict(zip(names, row, strict=True)) for row in rows]
