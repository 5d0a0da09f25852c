"""Paths: a local path, or a URL that fsspec knows (https, s3, gs, memory)."""

from __future__ import annotations

import os
import re
from functools import lru_cache

# Common Crawl's bucket only accepts requests with AWS credentials (since April 2022); its web server has all its files.
COMMON_CRAWL = "s3://commoncrawl/"
COMMON_CRAWL_WEB = "https://data.commoncrawl.org/"


def is_remote(path: str) -> bool:
    """True for a URL, except file://."""
    return "://" in path and not path.startswith("file://")


def is_web(path: str) -> bool:
    """True where requests go to a web server, which can neither list nor write files."""
    return address_of(path).startswith(("http://", "https://"))


def address_of(path: str) -> str:
    """The URL that requests are sent to: `path`, but Common Crawl's web server where there are no AWS credentials."""
    if path.startswith(COMMON_CRAWL) and not has_aws_credentials():
        return COMMON_CRAWL_WEB + path.removeprefix(COMMON_CRAWL)
    return path


def server_of(path: str) -> str:
    """Host and port that requests are sent to; the bucket of an object store."""
    return re.split(r"[/?#]", address_of(path).partition("://")[2], maxsplit=1)[0]  # urlsplit raises for `http://[`


def join(base: str, *names: str) -> str:
    """`base` and `names` as one path or URL."""
    if is_remote(base):
        return "/".join([base.rstrip("/"), *(name.strip("/") for name in names)])
    return os.path.join(local_path(base), *names)


def local_path(path: str) -> str:
    """Without file://, and with ~ replaced by the home folder."""
    return os.path.expanduser(path.removeprefix("file://"))


@lru_cache(maxsize=1)
def has_aws_credentials() -> bool:
    """Whether the environment, a profile or the instance's metadata gives credentials."""
    from botocore.session import get_session

    return get_session().get_credentials() is not None
