"""Files on any storage: local paths and every URL that fsspec knows.

    files.py     open, list, write atomically, retry; errors that name the file
    layout.py    where each file of an output lies

Callers write `from pipeline import storage` and `storage.exists(path)`.
"""

from pipeline.storage.files import (
    StorageError,
    count_rows,
    create_exclusively,
    exists,
    explained,
    glob_files,
    in_threads,
    is_folder,
    is_remote,
    join,
    list_files,
    make_folder,
    open_binary,
    open_parquet,
    read_bytes,
    read_rows,
    remove,
    size,
    write_atomically,
)

__all__ = [
    "StorageError",
    "count_rows",
    "create_exclusively",
    "exists",
    "explained",
    "glob_files",
    "in_threads",
    "is_folder",
    "is_remote",
    "join",
    "list_files",
    "make_folder",
    "open_binary",
    "open_parquet",
    "read_bytes",
    "read_rows",
    "remove",
    "size",
    "write_atomically",
]
