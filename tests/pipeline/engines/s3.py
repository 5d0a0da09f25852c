"""A fake of Amazon S3 on the loopback (moto), with throttling and cut connections on request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from tests.pipeline.engines.gcs import trouble

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Bucket:
    """The bucket `grist` and its address."""

    client: Any
    url: str
    trouble_every: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def put(self, name: str, content: bytes) -> None:
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("grist", name, content)  # in this process: fast

    def names(self, prefix: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="grist", Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket="grist", Key=name)["Body"].read()


@contextmanager
def serve_s3() -> Iterator[Bucket]:
    moto = DomainDispatcherApplication(create_backend_app)
    holder: list[Bucket] = []

    def application(environ, start_response):
        bucket = holder[0] if holder else None
        failure = trouble(next(bucket.numbers), bucket.trouble_every) if bucket else None
        if failure == "reset":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if failure:
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [SLOW_DOWN]
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket="grist")
    holder.append(Bucket(client, url))
    try:
        yield holder[0]
    finally:
        server.shutdown()
        server.server_close()
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()  # all servers of this process share it
