"""SHA-256 of files, and fingerprints of values."""

from __future__ import annotations

import hashlib

import pytest

from pipeline.storage import StorageError
from pipeline.storage.digests import fingerprint, sha256_of_file


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_file_is_digested_block_by_block(tmp_path):
    content = b"x" * 2_500_000
    (tmp_path / "file").write_bytes(content)
    assert sha256_of_file(str(tmp_path / "file")) == hashlib.sha256(content).hexdigest()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError, match="nowhere: no such file"):
        sha256_of_file(str(tmp_path / "nowhere"))
