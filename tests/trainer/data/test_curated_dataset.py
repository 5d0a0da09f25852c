from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from tests.pipeline.engines.gcs import serve_gcs
from tests.trainer.curated import SCHEMA, pages, row, write_dataset
from trainer.data.curated_dataset import DatasetError, fetch_shard, open_dataset, read_rows

COLUMNS = ("id", "url", "text", "weight")


def read(root: str) -> list[dict[str, Any]]:
    rows = []
    for shard in open_dataset(root).shards:
        with fetch_shard(shard) as path:
            for batch in read_rows(path, shard.path, COLUMNS):
                rows.extend(batch.to_pylist())
    return rows


def test_rows_are_read_unchanged(tmp_path: Path) -> None:
    rows = pages(25)
    write_dataset(tmp_path / "set", rows, shards=3)
    assert read(str(tmp_path / "set")) == [{name: values[name] for name in COLUMNS} for values in rows]
    assert read(f"{tmp_path}/set/") == read(f"file://{tmp_path}/set")
    assert open_dataset(str(tmp_path / "set")).rows == 25


def test_a_missing_optional_column_is_null(tmp_path: Path) -> None:
    schema = pa.schema([SCHEMA.field(name) for name in ("id", "text", "weight")])
    write_dataset(tmp_path / "set", [{"id": "a", "text": "b", "weight": 1.0}], 1, schema)
    assert read(str(tmp_path / "set")) == [{"id": "a", "url": None, "text": "b", "weight": 1.0}]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server on this machine, holding an empty bucket."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    fsspec.filesystem(
        "s3"
    ).clear_instance_cache()  # other tests' servers; buckets are shared by all servers of a process
    fsspec.filesystem("s3").mkdir("trainer-shards")
    yield "s3://trainer-shards"
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_shards_on_s3_are_read_and_checked(tmp_path: Path, bucket: str) -> None:
    rows = pages(12)
    write_dataset(tmp_path / "set", rows)
    remote = fsspec.filesystem("s3")
    remote.put(str(tmp_path / "set"), "trainer-shards/set", recursive=True)
    remote.invalidate_cache()
    assert read(f"{bucket}/set") == read(str(tmp_path / "set"))
    remote.pipe_file("trainer-shards/set/shards/part-00000.parquet", b"other bytes")
    with pytest.raises(DatasetError, match=r"s3://trainer-shards/set/shards/part-00000.parquet: its SHA-256"):
        read(f"{bucket}/set")
    remote.rm_file("trainer-shards/set/shards/part-00000.parquet")
    with pytest.raises(DatasetError, match="cannot be downloaded"):
        read(f"{bucket}/set")
    with pytest.raises(DatasetError, match=r"holds neither manifest.json nor latest.json"):
        open_dataset(f"{bucket}/nothing")


def test_shards_on_gs_are_read_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_dataset(tmp_path / "set", pages(12))
    with serve_gcs() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("gs").clear_instance_cache()
        for path in root.rglob("*.*"):
            store.put("grist", f"set/{path.relative_to(root)}", path.read_bytes())
        assert read("gs://grist/set") == read(str(root))
        store.put("grist", "set/shards/part-00000.parquet", b"other bytes")
        with pytest.raises(DatasetError, match=r"gs://grist/set/shards/part-00000.parquet: its SHA-256"):
            read("gs://grist/set")
        with pytest.raises(DatasetError, match=r"holds neither manifest.json nor latest.json"):
            open_dataset("gs://grist/nothing")
    fsspec.get_filesystem_class("gs").clear_instance_cache()


def write_broken_dataset(folder: Path, fault: str) -> str:
    """A dataset with one fault."""
    rows = pages(6)
    if fault == "empty":
        rows = []
    if fault == "null text":
        rows[3]["text"] = None
    schema = SCHEMA
    if fault == "no weight":
        schema = SCHEMA.remove(SCHEMA.get_field_index("weight"))
    if fault == "text is bytes":
        schema = SCHEMA.set(SCHEMA.get_field_index("text"), pa.field("text", pa.binary()))
    if fault == "weight is text":
        schema = SCHEMA.set(SCHEMA.get_field_index("weight"), pa.field("weight", pa.string()))
        rows = [{**values, "weight": "1"} for values in rows]
    root = write_dataset(folder / "set", rows, 1, schema)
    shard = root / "shards" / "part-00000.parquet"
    manifest = root / "manifest.json"
    if fault == "no manifest":
        manifest.unlink()
    if fault == "half a manifest":
        manifest.write_text(manifest.read_text()[:40])
    if fault == "a list":
        manifest.write_text("[]")
    if fault == "another manifest":
        manifest.write_text(json.dumps({"shards": [{"file": "x"}]}))
    if fault == "damaged":
        shard.write_bytes(shard.read_bytes()[:-9] + b"123456789")
    if fault == "missing":
        shard.unlink()
    if fault == "not parquet":
        shard.write_bytes(b"<html>")
        facts = json.loads(manifest.read_text())
        facts["shards"][0]["sha256"] = "7a58a8f5eb7ff4a5ad61e2e92ab0a7dd1dcd2a2a4aac47c6ff0e4ea0a1f4c7f5"
        import hashlib

        facts["shards"][0]["sha256"] = hashlib.sha256(b"<html>").hexdigest()
        manifest.write_text(json.dumps(facts))
    return str(root)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no manifest", r"holds neither manifest.json nor latest.json; pass the output folder of a finished"),
        ("half a manifest", r"manifest.json: not JSON"),
        ("a list", r"not a manifest of gristmill curate \(a list\)"),
        ("another manifest", r"not a manifest of gristmill curate \(KeyError: 'path'\)"),
        ("empty", r"set: the dataset is empty"),
        ("damaged", r"part-00000.parquet: its SHA-256 is \w{12}..., the manifest says"),
        ("missing", r"part-00000.parquet: the manifest lists this shard but it is missing"),
        ("not parquet", r"part-00000.parquet: not a Parquet file"),
        ("no weight", r"part-00000.parquet: no column weight; its columns are id, url"),
        ("text is bytes", r"part-00000.parquet: column text is binary, not string"),
        ("weight is text", r"part-00000.parquet: column weight is string, not number"),
        ("null text", r"part-00000.parquet: column text holds nulls"),
    ],
)
def test_a_broken_dataset_gets_one_clear_line(tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read(write_broken_dataset(tmp_path, fault))
    assert "\n" not in str(caught.value)


def test_snapshots_are_opened_by_their_pointer_or_by_name(tmp_path: Path) -> None:
    for month, text in ((38, "September"), (43, "October")):
        write_dataset(tmp_path / f"CC-MAIN-2026-{month}", [row(month, text)], 1)
    pointer = tmp_path / "latest.json"
    pointer.write_text(json.dumps({"snapshot": "CC-MAIN-2026-38", "content_hash": "x"}))
    assert [page["text"] for page in read(f"{tmp_path}/")] == ["September"]
    pointer.write_text(json.dumps({"snapshot": "CC-MAIN-2026-43", "content_hash": "y"}))
    assert [page["text"] for page in read(str(tmp_path))] == ["October"]
    assert [page["text"] for page in read(f"{tmp_path}/CC-MAIN-2026-38")] == ["September"]
    assert open_dataset(str(tmp_path)).root == f"{tmp_path}/CC-MAIN-2026-43"
    for wrong in ({"snapshot": "../elsewhere"}, {"snapshot": 5}, [], {}):
        pointer.write_text(json.dumps(wrong))
        with pytest.raises(DatasetError, match=r"latest.json: .* is not the name of a snapshot"):
            open_dataset(str(tmp_path))


def test_one_row_is_a_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", [row(0, "One page.")], shards=4)  # three of the four shards are empty
    assert [shard.rows for shard in open_dataset(str(tmp_path / "set")).shards] == [1]
