"""The stand-in of S3 without a network answers s3fs's client as one with a network does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import fsspec
import pytest
from botocore.exceptions import ClientError

from tests.pipeline.engines.s3 import serve_s3
from tests.pipeline.simulation.s3 import answer_s3
from tests.pipeline.simulation.stores import open_store

NAMES = ("a/b", "a/c/d", "a/c/e", "a.b", "b", "ä/ö &<x>")
_OF_THE_MESSAGE = {"ResponseMetadata", "LastModified", "Owner"}  # headers, and what moto says of each object besides


@contextmanager
def client(serve: Any) -> Iterator[Any]:
    with serve() as served, patch.dict(os.environ, served.environment):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield fsspec.filesystem("s3", use_listings_cache=False)
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def calls() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in NAMES:
        yield "put_object", {"Key": name, "Body": name.encode() * 3}
    yield "put_object", {"Key": "b", "Body": b"new", "IfNoneMatch": "*"}
    yield "put_object", {"Key": "new", "Body": b"", "IfNoneMatch": "*"}
    for name in (*NAMES, "a/", "a", "nothing"):
        yield "head_object", {"Key": name}
        yield "get_object", {"Key": name}
    for where in ("bytes=1-3", "bytes=2-", "bytes=-2", "bytes=0-999", "bytes=999-1000"):
        yield "get_object", {"Key": "a/c/d", "Range": where}
    for prefix in ("", "a", "a/", "a/c", "a/c/", "nothing/"):
        for delimiter in ({}, {"Delimiter": "/"}):
            for most in ({}, {"MaxKeys": 1}, {"MaxKeys": 3}):
                yield "list_objects_v2", {"Prefix": prefix, **delimiter, **most}
    yield "delete_object", {"Key": "b"}
    yield "delete_object", {"Key": "nothing"}
    yield "delete_objects", {"Delete": {"Objects": [{"Key": "a/b"}, {"Key": "nothing"}], "Quiet": True}}
    yield "list_objects_v2", {"Prefix": ""}


def test_s3_without_a_network_answers_as_with_one():
    answers = []
    for serve in (serve_s3, answer_s3):
        with client(serve) as filesystem:
            answers.append([ask(filesystem, method, values) for method, values in calls()])
    for (method, values), expected, found in zip(calls(), *answers, strict=True):
        assert found == {key: expected.get(key) for key in found}, (method, values)
        assert {key for key in expected if key in {"Contents", "CommonPrefixes", "NextContinuationToken"}} <= set(found)


@pytest.mark.parametrize("serve", [serve_s3, answer_s3])
def test_listings_go_on_after_each_page(serve):
    with client(serve) as filesystem:
        for name in NAMES:
            filesystem.call_s3("put_object", Bucket="grist", Key=name, Body=b"")
        found, token = [], {}
        while True:
            page = filesystem.call_s3("list_objects_v2", Bucket="grist", Prefix="", MaxKeys=2, **token)
            found += [entry["Key"] for entry in page["Contents"]]
            if not page["IsTruncated"]:
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        assert found == sorted(NAMES)


def ask(filesystem: Any, method: str, values: dict[str, Any]) -> dict[str, Any]:
    """The answer, or what the client's error says."""
    try:
        answer = filesystem.call_s3(method, Bucket="grist", **values)
    except Exception as error:
        cause = error.__cause__ or error
        assert isinstance(cause, ClientError)
        status = cause.response["ResponseMetadata"]["HTTPStatusCode"]
        return {"error": type(error).__name__, "code": cause.response["Error"]["Code"], "status": status}
    if "Body" in answer:
        answer["Body"] = fsspec.asyn.sync(filesystem.loop, answer["Body"].read)
    described = {key: value for key, value in answer.items() if key not in _OF_THE_MESSAGE}
    for entry in described.get("Contents", ()):
        for key in set(entry) - {"Key", "Size", "ETag", "StorageClass"}:
            del entry[key]
    described.pop("NextContinuationToken", None)
    return described


def test_the_view_of_an_emptied_bucket_is_an_empty_folder(tmp_path):
    with open_store("s3", tmp_path / "outputs") as store:
        for objects in ({"a/b": b"1", "c": b"2"}, {}):
            store.replace(objects)
            found = {str(path.relative_to(store.view())) for path in store.view().rglob("*") if path.is_file()}
            assert found == set(objects)
            assert store.view().is_dir()
