"""Files anywhere: a local path or any URL that fsspec knows (https, s3, gs, memory).

Local paths stay plain strings and go through the operating system; everything else goes through fsspec's own clients.
Two things are added to them. Reads are cut into range requests that are tried again with growing, jittered pauses when
a server is busy (429, 5xx) or the line breaks, because a crawl is read for days. Writes become visible whole or not at
all. Whatever goes wrong leaves here as a `StorageError` that names the file and what to do.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

TRIES = 8  # with the pauses below a server may be away for about two minutes
FIRST_PAUSE = 0.5  # seconds; doubled at each try, and multiplied by a random factor so that workers do not come in step
LONGEST_PAUSE = 30.0
BLOCK = 8 << 20  # bytes of one range request
_BUSY = {408, 429, 500, 502, 503, 504}
_BUSY_AT = {"data.commoncrawl.org": {403}}  # Common Crawl's front answers 403 to clients that ask too fast
# Common Crawl's bucket answers to AWS credentials only (since April 2022); its web server has the same files for all.
_COMMON_CRAWL = "s3://commoncrawl/"
_COMMON_CRAWL_WEB = "https://data.commoncrawl.org/"

_CLIENTS = ("aiohttp", "botocore", "aiobotocore", "gcsfs", "google")  # whose errors are about the file, not about us

_T = TypeVar("_T")


class StorageError(ValueError):
    """A file cannot be read or written: which one, why, and what to do."""


def is_remote(path: str) -> bool:
    return "://" in path and not path.startswith("file://")


def _is_web(path: str) -> bool:
    return _address(path).startswith(("http://", "https://"))


def _address(path: str) -> str:
    """Where to ask: the path itself, but Common Crawl's web server for those who have no AWS credentials."""
    if path.startswith(_COMMON_CRAWL) and not _aws_credentials():
        return _COMMON_CRAWL_WEB + path.removeprefix(_COMMON_CRAWL)
    return path


def join(base: str, *names: str) -> str:
    if is_remote(base):
        return "/".join([base.rstrip("/"), *(name.strip("/") for name in names)])
    return os.path.join(_local(base), *names)


def exists(path: str) -> bool:
    with explained(path, "find"):
        if not is_remote(path):
            return os.path.exists(_local(path))
        fs, inner = _remote(path)
        try:  # fs.exists() of web servers takes "busy" for "no"
            return bool(_retry(path, lambda: fs.info(inner)))
        except Exception as error:
            if _is_missing(error):
                return False
            raise


def size(path: str) -> int:
    with explained(path, "read"):
        if is_remote(path):
            fs, inner = _remote(path)
            found = _retry(path, lambda: fs.size(inner))
            if found is None:
                raise StorageError(
                    f"{path}: the server does not say how large it is; download it and pass the local copy"
                )
            return int(found)
        return os.stat(_local(path)).st_size


def open_binary(path: str, start: int = 0, end: int | None = None, length: int | None = None) -> BinaryIO:
    """A seekable reader that stands at `start`; `end` only spares a remote server the bytes behind it.

    A remote server is not asked for a `length` that is known, or that is all of the file that may be read.
    """
    with explained(path, "read"):
        if is_remote(path):
            remote = _RemoteFile(path, size(path) if length is None else length, end)
            remote.seek(start)
            return cast(BinaryIO, io.BufferedReader(remote, buffer_size=1 << 16))
        file = open(_local(path), "rb")  # noqa: SIM115 - the caller closes it
        file.seek(start)
        return file


def open_parquet(path: str) -> BinaryIO:
    """A reader for pyarrow. Local files are read by its own: its threads let go of a Python file at some time after the
    last row, and one that does so while the interpreter ends takes the process down with it.
    """
    if is_remote(path):
        return open_binary(path)
    with explained(path, "read"):
        return cast(BinaryIO, pa.OSFile(_local(path)))


def read_rows(path: str) -> Iterator[dict[str, Any]]:
    """Every row of a Parquet file, in order, a thousand in memory at a time."""
    with open_parquet(path) as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def count_rows(path: str) -> int:
    """Rows by the Parquet footer, which is the last thing that a writer writes."""
    with open_parquet(path) as file:
        return int(pq.read_metadata(file).num_rows)


def read_bytes(path: str) -> bytes:
    """The whole file; one request on an object store, where most of what is read so is small."""
    if is_remote(path) and not _is_web(path):
        with explained(path, "read"):
            fs, inner = _remote(path)
            return bytes(_retry(path, lambda: fs.cat_file(inner)))
    with open_binary(path) as file, explained(path, "read"):
        return file.read()


def glob_files(pattern: str) -> list[str]:
    """Files (no folders) that match, sorted; `**` crosses folders."""
    with explained(pattern, "list"):
        if _is_web(pattern):
            why = " without AWS credentials" if pattern.startswith(_COMMON_CRAWL) else ""
            raise StorageError(f"{pattern}: cannot be searched{why}; pass a warc.paths.gz listing or single files")
        if is_remote(pattern):
            fs, inner = _remote(pattern)
            found = _retry(pattern, lambda: fs.glob(inner, detail=True))
            return sorted(fs.unstrip_protocol(name) for name, info in found.items() if info["type"] == "file")
        return sorted(path for path in glob.glob(_local(pattern), recursive=True) if os.path.isfile(path))


def is_folder(path: str) -> bool:
    """Web servers have none: they could only be asked by fetching the whole file to look for links in it."""
    if _is_web(path):
        return False
    with explained(path, "find"):
        if is_remote(path):
            fs, inner = _remote(path)
            return bool(_retry(path, lambda: fs.isdir(inner)))
        return os.path.isdir(_local(path))


def list_files(folder: str) -> list[str]:
    """All files below a folder, at any depth, sorted."""
    with explained(folder, "list"):
        if is_remote(folder):
            fs, inner = _remote(folder)
            return sorted(fs.unstrip_protocol(name) for name in _retry(folder, lambda: fs.find(inner)))
        walk = os.walk(_local(folder), onerror=_raise)
        return sorted(os.path.join(where, name) for where, _, names in walk for name in names)


def make_folder(path: str) -> None:
    if not is_remote(path):  # object stores have no folders
        with explained(path, "create"):
            os.makedirs(_local(path), exist_ok=True)


def remove(path: str) -> None:
    """Deletes a file; one that is not there is fine."""
    with explained(path, "delete"):
        if not is_remote(path):
            Path(_local(path)).unlink(missing_ok=True)
            return
        fs, inner = _remote(path)
        try:
            _retry(path, lambda: fs.rm_file(inner))
        except Exception as error:
            if not _is_missing(error):
                raise


def create_exclusively(path: str, content: bytes) -> bool:
    """Writes a small file unless there is one already; of several who try, one is told True."""
    with explained(path, "write"):
        if is_remote(path):
            fs, inner = _remote(path)
            try:
                _retry(path, lambda: fs.pipe_file(inner, content, mode="create"))
            except FileExistsError:
                return False
            return True
        os.makedirs(os.path.dirname(_local(path)) or ".", exist_ok=True)
        try:
            with open(_local(path), "xb") as file:
                file.write(content)
        except FileExistsError:
            return False
        return True


@contextmanager
def write_atomically(path: str) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` when the block ends well, and leaves nothing when it does not.

    Locally: a temporary file in the same folder, flushed to the disk and renamed. Elsewhere: a temporary file on the
    local disk and one upload, which object stores show whole or not at all.
    """
    with explained(path, "write"), _upload(path) if is_remote(path) else _renamed(_local(path)) as file:
        yield file


@contextmanager
def _renamed(path: str) -> Iterator[BinaryIO]:
    folder, name = os.path.split(path)
    os.makedirs(folder or ".", exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".tmp", dir=folder or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _upload(path: str) -> Iterator[BinaryIO]:
    fs, inner = _remote(path)
    with tempfile.NamedTemporaryFile(prefix="gristmill-") as file:
        yield cast(BinaryIO, file)
        file.flush()
        _retry(path, lambda: fs.put_file(file.name, inner))


class _RemoteFile(io.RawIOBase):
    """A remote file as range requests, each tried again on its own: a broken line costs one block."""

    def __init__(self, path: str, length: int, end: int | None) -> None:
        self._path = path
        self._fs, self._inner = _remote(path)
        self._length = length
        self._end = min(length, end) if end is not None else length
        self._position = 0
        self._block, self._block_start = b"", 0
        self._options = {"headers": {"Accept-Encoding": "identity"}} if _is_web(path) else {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._length:
            return 0
        if not self._block_start <= self._position < self._block_start + len(self._block):
            self._fetch()
        at = self._position - self._block_start
        piece = self._block[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _fetch(self) -> None:
        start = self._position
        # Behind `end` (a record that begins inside and ends outside) ever smaller steps would be many requests.
        stop = min(start + BLOCK, self._end if start < self._end else self._length)
        with explained(self._path, "read"):
            block = _retry(self._path, lambda: self._fs.cat_file(self._inner, start=start, end=stop, **self._options))
        if len(block) > stop - start:  # the server ignores ranges and sends the whole file
            if len(block) > 8 * BLOCK:
                raise StorageError(
                    f"{self._path}: the server ignores range requests; download it and pass the local copy"
                )
            start = 0
        elif len(block) != stop - start:
            raise StorageError(
                f"{self._path}: asked for bytes {start}-{stop}, got {len(block)} bytes; has the file changed?"
            )
        self._block, self._block_start = block, start


def _retry(path: str, attempt: Callable[[], _T]) -> _T:
    pause = FIRST_PAUSE
    for tried in count(1):
        try:
            return attempt()
        except Exception as error:
            if tried >= _tries(path, error):
                raise
            time.sleep(max(pause * random.uniform(0.5, 1.5), _asked_pause(error)))
            pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("count() ends")


def _tries(path: str, error: BaseException) -> int:
    """How often to ask in all when this happens."""
    import aiohttp

    error = _root(error)
    status = _status(error)
    tells_to_wait = status in _BUSY_AT.get(_address(path).split("/")[2], ())
    if status in _BUSY or tells_to_wait or getattr(error, "errno", None) == errno.EBUSY:
        return TRIES
    if status:
        return 1
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return min(TRIES, 4)  # mostly a misspelled name
    lines_break = (ConnectionError, TimeoutError, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)
    return TRIES if isinstance(error, lines_break) else 1


def _root(error: BaseException) -> BaseException:
    """fsspec says "not found" of a web server's every failure; what really happened is its cause."""
    while isinstance(error, FileNotFoundError) and error.__cause__ and not isinstance(error.__cause__, KeyError):
        error = error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    """The server's answer, as the clients of http (status), gs (code) and s3 (behind s3fs's own error) carry it."""
    answer = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    of_s3 = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
    status = error.status if hasattr(error, "status") else getattr(error, "code", of_s3)
    return status if isinstance(status, int) and status >= 400 else None


def _is_missing(error: BaseException) -> bool:
    error = _root(error)
    return isinstance(error, FileNotFoundError) or _status(error) in (404, 410)


def _asked_pause(error: BaseException) -> float:
    """Seconds of a Retry-After header, within reason."""
    headers = getattr(_root(error), "headers", None) or {}
    asked = headers.get("Retry-After", "")
    return min(float(asked), 2 * LONGEST_PAUSE) if asked.isdigit() else 0.0


def _remote(path: str) -> tuple[Any, str]:
    protocol = path.split("://", 1)[0]
    options: dict[str, Any] = {"use_listings_cache": False}  # others write what we look for
    if _is_web(path):  # the bytes as they lie there, through the proxies of the environment
        options["client_kwargs"] = {"auto_decompress": False, "trust_env": True}
    try:
        fs, inner = fsspec.core.url_to_fs(_address(path), **options)
    except (ImportError, ValueError) as error:
        raise StorageError(f"{path}: cannot open {protocol}:// ({error})") from error
    return fs, inner


@lru_cache(maxsize=1)
def _aws_credentials() -> bool:
    from botocore.session import get_session

    return get_session().get_credentials() is not None


def _local(path: str) -> str:
    return os.path.expanduser(path.removeprefix("file://"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def explained(path: str, verb: str) -> Iterator[None]:
    """What goes wrong with the file in this block leaves it as a StorageError; faults of ours go through."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        root = _root(error)
        if not isinstance(root, OSError) and not type(root).__module__.startswith(_CLIENTS):
            raise
        where = _culprit(path, root)
        raise StorageError(f"{where}: {_explanation(path, verb, root)}") from error


def _explanation(path: str, verb: str, error: BaseException) -> str:
    status = _status(error)
    if _is_missing(error):
        return "no such file or folder; check the spelling"
    if isinstance(error, PermissionError):
        if path.startswith(_COMMON_CRAWL):
            return "no permission with these AWS credentials; use https://data.commoncrawl.org/ instead"
        return f"no permission to {verb} it; check its owner and mode"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = tempfile.gettempdir() if is_remote(path) else _existing_parent(path)  # uploads wait there
        free = shutil.disk_usage(folder).free >> 20
        return f"the disk is full ({free} MiB free at {folder}); free some space and run again"
    why = f"the server answered {status}" if status else getattr(error, "strerror", None) or str(error)
    return f"cannot {verb} it ({' '.join(why.split()) or type(error).__name__})"


def _culprit(path: str, error: BaseException) -> str:
    """The file that the user knows: not our temporary one beside it, but another one that failed while we wrote."""
    named = str(getattr(error, "filename", None) or path)
    return path if os.path.dirname(named) == os.path.dirname(_local(path)) else named


def _existing_parent(path: str) -> str:
    folder = Path(_local(path)).absolute()
    while not folder.exists():
        folder = folder.parent
    return str(folder)
