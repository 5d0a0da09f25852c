"""Files on any storage: local paths and every URL that fsspec knows (https, s3, gs, memory).

    files.py         find, list, open, delete
    atomic_write.py  writes that become visible as a whole file or not at all
    parquet.py       Parquet files: open, stream rows, count rows
    folders.py       list and delete whole folders with few requests
    threads.py       the same call for many files at once
    errors.py        StorageError: one line that names the file, the cause and what to do
    digests.py       SHA-256 of a file, fingerprint of values
    layout.py        where each file of an output is
    report_types.py  the types of the values inside report.json
    lease.py         a lock for processes on several machines
    own_files.py     which files of an output folder a run has made, and may remove

    object_store.py                                               listings and deletes of S3 and Google's object store
    paths.py, remote.py, remote_file.py, retries.py, causes.py    how remote storage is read: blocks, retries, errors
    pace.py                                                       one pace of requests for all processes of a machine

Callers write `from pipeline import storage` and `storage.exists(path)`.
"""

from pipeline.storage.atomic_write import create_exclusively, write_atomically
from pipeline.storage.errors import DamagedFileError, NoSuchFileError, StorageError, explain_errors, say_role
from pipeline.storage.files import (
    exists,
    glob_files,
    is_folder,
    list_files,
    list_names,
    make_folder,
    modification_time,
    open_binary,
    read_bytes,
    read_named,
    read_unchecked,
    remove,
    size,
)
from pipeline.storage.folders import file_sizes, remove_empty_folder, remove_files, remove_folder
from pipeline.storage.parquet import count_rows, open_parquet, read_parquet, read_rows
from pipeline.storage.paths import is_remote, join
from pipeline.storage.threads import in_threads, map_in_threads

__all__ = [
    "DamagedFileError",
    "NoSuchFileError",
    "StorageError",
    "count_rows",
    "create_exclusively",
    "exists",
    "explain_errors",
    "file_sizes",
    "glob_files",
    "in_threads",
    "is_folder",
    "is_remote",
    "join",
    "list_files",
    "list_names",
    "make_folder",
    "map_in_threads",
    "modification_time",
    "open_binary",
    "open_parquet",
    "read_bytes",
    "read_named",
    "read_parquet",
    "read_rows",
    "read_unchecked",
    "remove",
    "remove_empty_folder",
    "remove_files",
    "remove_folder",
    "say_role",
    "size",
    "write_atomically",
]
