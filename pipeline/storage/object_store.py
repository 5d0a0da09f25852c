"""List and delete files of S3 and Google's object store, a thousand with each request.

fsspec's `find` keeps everything that the store tells of each file until the last page: 1.3 kB of memory a file.
Here only names and sizes are kept, and of one page at a time. Other stores go through `find`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pipeline.effects import Effect
from pipeline.storage.remote import find, open_filesystem, request
from pipeline.storage.retries import retry

BATCH = 1000  # files in one delete request or page of a listing; the most that S3 accepts

_Entry = tuple[str, int]  # key of the file, bytes
_Page = tuple[list[_Entry], str | None]  # entries, token of the next page
_ListPage = Callable[[Any, str, str, str | None], _Page]  # file system, bucket, prefix, token


def list_sizes(folder: str) -> Iterator[_Entry]:
    """Path in the folder and bytes of every file below it, at any depth; nothing where there is no such folder."""
    filesystem, inner = open_filesystem(folder)
    list_page = _PAGE_LISTERS.get(_protocol(filesystem))
    if list_page is None:
        prefix = inner.rstrip("/") + "/"
        found = find(folder, lambda fs, path: fs.find(path, detail=True))
        yield from ((name.removeprefix(prefix), int(info["size"])) for name, info in found.items())
        return
    bucket, key, _ = filesystem.split_path(inner)
    prefix = key.strip("/") + "/" if key else ""
    for entry in _list_pages(folder, list_page, filesystem, bucket, prefix):
        yield entry[0].removeprefix(prefix), entry[1]


def _list_pages(folder: str, list_page: _ListPage, filesystem: Any, bucket: str, prefix: str) -> Iterator[_Entry]:
    token = None
    while True:
        entries, token = retry(folder, partial(list_page, filesystem, bucket, prefix, token), Effect.FIND)
        yield from (entry for entry in entries if not entry[0].endswith("/"))  # "a/" marks an empty folder
        if not token:
            return


def _list_s3_page(filesystem: Any, bucket: str, prefix: str, token: str | None) -> _Page:
    options = {"ContinuationToken": token} if token else {}
    page = filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=BATCH, **options)
    return [(item["Key"], item["Size"]) for item in page.get("Contents", ())], page.get("NextContinuationToken")


def _list_google_page(filesystem: Any, bucket: str, prefix: str, token: str | None) -> _Page:
    options = {"prefix": prefix, "maxResults": BATCH, "pageToken": token, "fields": "items(name,size),nextPageToken"}
    page = filesystem.call("GET", "b/{}/o", bucket, json_out=True, **options)
    return [(item["name"], int(item["size"])) for item in page.get("items", ())], page.get("nextPageToken")


_PAGE_LISTERS: dict[str, _ListPage] = {"s3": _list_s3_page, "gs": _list_google_page}


def delete_files(paths: Sequence[str]) -> None:
    """Deletes up to `BATCH` files of one bucket with one request; raises OSError if the store refuses one of them."""
    inner = [open_filesystem(path)[1] for path in paths]
    request(paths[0], lambda filesystem, _: _delete(filesystem, inner))


def _delete(filesystem: Any, inner: Sequence[str]) -> None:
    if _protocol(filesystem) != "s3":
        filesystem.rm(list(inner))
        return
    # s3fs.rm() ignores the errors of single files in the answer.
    bucket = filesystem.split_path(inner[0])[0]
    objects = [{"Key": filesystem.split_path(path)[1]} for path in inner]
    answer = filesystem.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    for error in answer.get("Errors", ()):
        raise OSError(f"{error.get('Key')}: {error.get('Code')}")


def _protocol(filesystem: Any) -> str:
    protocol = filesystem.protocol
    return str(protocol if isinstance(protocol, str) else protocol[0])
