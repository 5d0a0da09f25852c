"""A stand-in of S3 that answers the calls of s3fs's client in this process, in a tenth of the time of one with HTTP.

What becomes of a request that fails is decided above the client, so that no fault is lost. `test_stores.py` compares
the answers with those of the whole client and moto, which `tests/pipeline/engines/test_object_stores.py` disturbs.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from unittest.mock import patch

from aiobotocore.client import AioBaseClient
from botocore.exceptions import ClientError

ADDRESS = "http://127.0.0.1:9"  # nothing listens there
_MOST = 1000  # names in one answer to a listing, as Amazon's
_STATUS = {"404": 404, "NoSuchKey": 404, "NoSuchBucket": 404, "PreconditionFailed": 412, "InvalidRange": 416}
_Answer = dict[str, Any]


class Object(NamedTuple):
    content: bytes
    written: datetime
    etag: str


class S3:
    """The objects of one bucket by name."""

    environment: Mapping[str, str] = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": ADDRESS,
    }

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.objects: dict[str, Object] = {}
        self._operations: dict[str, Callable[[Mapping[str, Any]], _Answer]] = {
            "GetObject": self._get,
            "HeadObject": self._head,
            "PutObject": self._put,
            "DeleteObject": self._delete,
            "DeleteObjects": self._delete_all,
            "ListObjectsV2": self._list,
        }

    def put(self, name: str, content: bytes) -> Object:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.objects[name] = Object(content, datetime.now(UTC).replace(microsecond=0), f'"{digest}"')
        return self.objects[name]

    def call(self, operation: str, values: Mapping[str, Any]) -> _Answer:
        """What the client returns. Raises ClientError, and KeyError for an operation that nothing here needs."""
        if values["Bucket"] != self.bucket:
            raise _error(operation, "NoSuchBucket")
        return self._operations[operation](values)

    def _get(self, values: Mapping[str, Any]) -> _Answer:
        found = self.objects.get(values["Key"])
        if found is None:
            raise _error("GetObject", "NoSuchKey")
        start, stop = _range(values.get("Range", "bytes=0-"), len(found.content))
        if "Range" in values and start >= len(found.content):
            raise _error("GetObject", "InvalidRange")
        return {**_describe(found, stop - start), "Body": _Body(found.content[start:stop])}

    def _head(self, values: Mapping[str, Any]) -> _Answer:
        found = self.objects.get(values["Key"])
        if found is None:
            raise _error("HeadObject", "404")  # an answer without a body has no other code
        return _describe(found, len(found.content))

    def _put(self, values: Mapping[str, Any]) -> _Answer:
        if values.get("IfNoneMatch") == "*" and values["Key"] in self.objects:
            raise _error("PutObject", "PreconditionFailed", Condition="If-None-Match")
        return {"ETag": self.put(values["Key"], bytes(values["Body"])).etag}

    def _delete(self, values: Mapping[str, Any]) -> _Answer:
        self.objects.pop(values["Key"], None)
        return {}

    def _delete_all(self, values: Mapping[str, Any]) -> _Answer:
        for each in values["Delete"]["Objects"]:
            self.objects.pop(each["Key"], None)
        return {}

    def _list(self, values: Mapping[str, Any]) -> _Answer:
        """Names after the token (the last name before) in order; those with a delimiter after the prefix as one."""
        prefix, delimiter, after = (values.get(key, "") for key in ("Prefix", "Delimiter", "ContinuationToken"))
        most = min(int(values.get("MaxKeys", _MOST)), _MOST)
        found: dict[str, Object | None] = {}
        for name in sorted(name for name in self.objects if name.startswith(prefix)):
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            entry = name if end < 0 else name[: end + len(delimiter)]
            if entry > after:
                found[entry] = self.objects[name] if end < 0 else None
        names = list(found)[:most]
        files = [_entry(name, each) for name in names if (each := found[name])]
        folders = [{"Prefix": name} for name in names if found[name] is None]
        answer: _Answer = {"IsTruncated": len(found) > most, "KeyCount": len(names)}
        if len(found) > most:
            answer["NextContinuationToken"] = names[-1]
        return answer | ({"Contents": files} if files else {}) | ({"CommonPrefixes": folders} if folders else {})


def _range(text: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last: `bytes=5-9`, `bytes=5-`, `bytes=-3`."""
    first, last = text.removeprefix("bytes=").split("-")
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def _describe(found: Object, length: int) -> _Answer:
    return {"ContentLength": length, "ETag": found.etag, "LastModified": found.written}


def _entry(name: str, found: Object) -> _Answer:
    size = len(found.content)
    return {"Key": name, "Size": size, "ETag": found.etag, "LastModified": found.written, "StorageClass": "STANDARD"}


def _error(operation: str, code: str, **more: str) -> ClientError:
    answer = {"Error": {"Code": code, "Message": code, **more}, "ResponseMetadata": {"HTTPStatusCode": _STATUS[code]}}
    return ClientError(answer, operation)


class _Body(io.BytesIO):
    """What is read from the connection."""

    async def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        return super().read(size)


@contextmanager
def answer_s3() -> Iterator[S3]:
    """In the block, calls of s3fs's client are answered here, from the empty bucket `grist`."""
    store = S3("grist")

    async def call(_: AioBaseClient, operation: str, values: Mapping[str, Any]) -> _Answer:
        return store.call(operation, values)

    with patch.object(AioBaseClient, "_make_api_call", call):
        yield store
