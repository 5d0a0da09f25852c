"""`gristmill push`: to a stand-in of the hub and to a folder; resumed, verified, and loaded by configuration."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import _commit_api

from pipeline.errors import RunFailedError, UserError
from pipeline.release.push import HUB, FolderTarget, push
from pipeline.release.remove import remove
from pipeline.release.selectors import make_request
from pipeline.storage import StorageError, retries
from tests.pipeline.release.hub import Hub, serve_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(_commit_api, "is_xet_available", lambda: False)  # the stand-in takes LFS uploads
    with serve_hub() as found:
        yield found


def write_files(hub: Hub, folder: Path) -> Path:
    for name, content in hub.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_dataset_on_the_hub_has_every_row_once_and_is_loaded_by_language_and_topic(
    curated_minicrawl: Path, hub: Hub, tmp_path: Path
) -> None:
    hub.failures = [503, 500]
    push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
    folder = write_files(hub, tmp_path / "set")
    rows = {row["id"]: row for path in folder.rglob("*.parquet") for row in pq.read_table(path).to_pylist()}
    originals = [row for path in (curated_minicrawl / "shards").iterdir() for row in pq.read_table(path).to_pylist()]
    assert rows == {row["id"]: row for row in originals}
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    names = {config["config_name"] for config in front["configs"]}
    assert {"default", "en", "de"} <= names
    cache = str(tmp_path / "cache")
    german = load_dataset(str(folder), "de", split="train", cache_dir=cache)
    assert {row["url"] for row in german} == {row["url"] for row in originals if row["language"] == "de"}
    topic = originals[0]["domain"]
    of_topic = load_dataset(str(folder), topic, split="train", cache_dir=cache)
    assert len(of_topic) == sum(row["domain"] == topic for row in originals)


def test_what_the_hub_has_is_not_sent_again(curated_minicrawl: Path, hub: Hub) -> None:
    push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
    commits, files = len(hub.commits), dict(hub.files)
    push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
    assert (len(hub.commits), hub.files) == (commits, files)
    name = next(name for name in hub.files if name.endswith(".parquet"))
    del hub.files[name]
    push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
    assert hub.commits[commits:] == [["push.json"], [name], ["push.json"]]
    assert max(hub.uploads.values()) == 1


def test_a_folder_gets_the_same_files_and_other_bytes_are_noticed(
    curated_minicrawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = push(str(curated_minicrawl), str(tmp_path / "to"))
    assert json.loads((tmp_path / "to" / "push.json").read_text()) == values
    send = FolderTarget.send

    def cut(self: FolderTarget, files: dict[str, bytes], message: str, stale: Sequence[str] = ()) -> None:
        send(self, {name: content[:-1] for name, content in files.items()}, message, stale)

    monkeypatch.setattr(FolderTarget, "send", cut)
    with pytest.raises(RunFailedError, match="have other bytes than were sent"):
        push(str(curated_minicrawl), str(tmp_path / "other"))


@pytest.fixture
def shrunk(curated_minicrawl: Path, tmp_path: Path) -> Path:
    """A copy of the output from which all pages of a language were removed."""
    output = tmp_path / "shrunk"
    shutil.copytree(curated_minicrawl, output)
    (shard,) = (output / "shards").iterdir()
    german = [row["url"] for row in pq.read_table(shard).to_pylist() if row["language"] == "de"]
    remove(str(output), make_request({"url": tuple(german)}, ()))
    return output


def test_after_a_removal_no_old_row_stays_published(
    curated_minicrawl: Path, shrunk: Path, hub: Hub, tmp_path: Path
) -> None:
    for address in (str(tmp_path / "to"), f"{HUB}me/set"):
        push(str(curated_minicrawl), address, endpoint=hub.url, token="hf_x")
        push(str(shrunk), address, endpoint=hub.url, token="hf_x")
    left = {row["id"] for path in (shrunk / "shards").iterdir() for row in pq.read_table(path).to_pylist()}
    for folder in (tmp_path / "to", write_files(hub, tmp_path / "set")):
        rows = [row for path in folder.rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
        assert sorted(row["id"] for row in rows) == sorted(left)
        assert not (folder / "data" / "de").exists()


@pytest.mark.parametrize("theirs", [{"README.md": "mine"}, {"README.md": "mine", "push.json": "{}"}])
def test_files_of_others_in_the_target_are_left_alone(
    curated_minicrawl: Path, tmp_path: Path, theirs: dict[str, str]
) -> None:
    for name, text in theirs.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=r"holds files that no run of gristmill wrote \(README.md"):
        push(str(curated_minicrawl), str(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == theirs


def test_a_repository_of_others_on_the_hub_is_left_alone(curated_minicrawl: Path, hub: Hub) -> None:
    theirs = {".gitattributes": b"*.parquet", "README.md": b"mine", "data/a/b/part-00000.parquet": b"mine"}
    hub.files.update(theirs)
    with pytest.raises(UserError, match=r"me/set: holds files that no push of gristmill wrote \(README.md\); choose"):
        push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
    assert (hub.files, hub.commits) == (theirs, [])
    for name in ("README.md", "data/a/b/part-00000.parquet"):
        del hub.files[name]
    push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")  # a new one has .gitattributes
    assert hub.files[".gitattributes"] == b"*.parquet"


@pytest.mark.parametrize("theirs", [b"{}", b"mine", b'["files"]'])
def test_a_push_json_of_others_on_the_hub_is_left_alone(curated_minicrawl: Path, hub: Hub, theirs: bytes) -> None:
    files = {"push.json": theirs, "data/a/b/part-00000.parquet": b"mine"}
    hub.files.update(files)
    with pytest.raises(UserError, match=r"me/set: holds files that no push of gristmill wrote \(data/a/b/part"):
        push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
    assert (hub.files, hub.commits) == (files, [])


def test_addresses_and_refusals_are_one_line(
    curated_minicrawl: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="expected hf://datasets/OWNER/NAME"):
        push(str(curated_minicrawl), f"{HUB}set")
    with pytest.raises(UserError, match=r"no manifest\.json"):
        push(str(tmp_path), str(tmp_path / "to"))
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(StorageError, match=rf"hf://datasets/me/set: {address} cannot be reached \(.*refused\)"):
        push(str(curated_minicrawl), f"{HUB}me/set", endpoint=address, token="hf_x")
    hub.failures = [403]
    with pytest.raises(UserError, match=r"hf://datasets/me/set: .*403"):
        push(str(curated_minicrawl), f"{HUB}me/set", endpoint=hub.url, token="hf_x")
