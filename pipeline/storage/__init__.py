"""Files on any storage: local paths and every URL that fsspec knows.

    files.py     open, list, write atomically, retry; errors that name the file
    folders.py   list and delete whole folders with few requests
    threads.py   the same call for many files at once
    layout.py    where each file of an output lies
    lease.py     one process at a time works on an output

Callers write `from pipeline import storage` and `storage.exists(path)`.
"""

from pipeline.storage.files import (
    StorageError,
    count_rows,
    create_exclusively,
    exists,
    explained,
    glob_files,
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
from pipeline.storage.folders import file_sizes, remove_folder
from pipeline.storage.threads import in_threads, map_in_threads

__all__ = [
    "StorageError",
    "count_rows",
    "create_exclusively",
    "exists",
    "explained",
    "file_sizes",
    "glob_files",
    "in_threads",
    "is_folder",
    "is_remote",
    "join",
    "list_files",
    "make_folder",
    "map_in_threads",
    "open_binary",
    "open_parquet",
    "read_bytes",
    "read_rows",
    "remove",
    "remove_folder",
    "size",
    "write_atomically",
]
