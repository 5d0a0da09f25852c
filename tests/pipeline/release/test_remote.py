"""`gristmill remove` and `gristmill push` on s3:// and gs://, with throttling and cut connections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fsspec
import pytest

from pipeline import effects, storage
from pipeline.inspection.audit import audit_output
from pipeline.lists.suppressions import FILE, SelectorKind
from pipeline.release.push import push
from pipeline.release.remove import remove
from pipeline.release.selectors import Request, make_selector
from pipeline.storage import retries
from pipeline.storage.layout import Layout, read_manifest, read_run
from tests.pipeline.engines.gcs import serve_gcs
from tests.pipeline.engines.s3 import serve_s3
from tests.pipeline.heuristics.good_texts import prose
from tests.pipeline.release.outputs import Page, write_output_at
from tests.pipeline.simulation.world import Fault, Killed, World, at_call

TEXTS = [f"Story number {number} of a long list. {prose(6, start=7 * number)}" for number in range(5)]
PAGES = [
    *(Page(f"https://{'ab'[number % 2]}.example.org/{number}.html", text) for number, text in enumerate(TEXTS)),
    Page("https://b.example.org/copy.html", TEXTS[0], copy_of=0),
]
WANTED = Request((make_selector(SelectorKind.URL, PAGES[0].url), make_selector(SelectorKind.TEXT, TEXTS[3])))


@dataclass
class Store:
    """A bucket on a fake of S3 or of Google's store."""

    address: str
    server: Any

    def files(self, folder: str) -> dict[str, bytes]:
        address = storage.join(self.address, folder)
        return {path.partition(f"{folder}/")[2]: storage.read_bytes(path) for path in storage.list_files(address)}


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    protocol = str(request.param)
    with (serve_s3 if protocol == "s3" else serve_gcs)() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class(protocol).clear_instance_cache()  # else: the previous test's server
        yield Store(f"{protocol}://grist", server)
    fsspec.get_filesystem_class(protocol).clear_instance_cache()


def test_a_removal_in_a_disturbed_store_leaves_what_it_leaves_on_disk(
    store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    local = str(tmp_path_factory.mktemp("local") / "out")
    remote = storage.join(store.address, "out")
    for output in (local, remote):
        write_output_at(output, PAGES)
    store.server.trouble_every = 41
    found = [remove(output, WANTED, reweigh=True)[output] for output in (local, remote)]
    store.server.trouble_every = 0
    assert [sorted(removal.documents) for removal in found] == [["0" * 32, f"{3:032x}"]] * 2
    assert found[0].after == found[1].after == read_manifest(Layout(remote))["content_hash"]
    assert [check for check in audit_output(remote) if not check.ok] == []
    files = store.files("out")
    assert not any(name.startswith("work/") or name == "run.lock" or ".tmp" in name for name in files)
    assert read_run(Layout(remote))["settings"]["suppress"]["lists"] == [storage.join(remote, FILE)]
    named = {
        entry["path"] for kind in ("shards", "drops", "candidates") for entry in read_manifest(Layout(remote))[kind]
    }
    assert named == {name for name in files if name.split("/")[0] in ("shards", "drops", "candidates")}
    for name, content in files.items():
        assert TEXTS[3][:40].encode() not in content, name
        assert PAGES[0].url.encode() not in content, name
    assert remove(remote, WANTED, reweigh=True)[remote] == found[1]
    assert store.files("out") == files


ATTEMPTS = 4  # at most; one takes a second


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_killed_at_any_write_to_a_store_the_same_command_ends_in_the_same_state(store: Store) -> None:
    output = storage.join(store.address, "out")
    write_output_at(output, PAGES)
    before = store.files("out")
    seen, writes = [list_objects(store)], []

    def note_write() -> None:
        if (found := list_objects(store)) != seen[-1]:
            seen.append(found)
            writes.append(world.calls)

    world = World(output, lambda *_: None, after_change=note_write)
    with effects.simulate(world):
        found = remove(output, WANTED)
    after = store.files("out")
    assert len(writes) > 20
    for place, number in enumerate(writes[1 :: -(-len(writes) // ATTEMPTS)]):  # the first one takes the lease
        for name in store.files("out").keys() - before.keys():
            storage.remove(storage.join(output, name))
        for name, content in before.items():
            store.server.put(f"out/{name}", content)
        fault = (Fault.KILL, Fault.KILL_AFTER)[place % 2]
        with pytest.raises(Killed), effects.simulate(World(output, at_call(number, fault))):
            remove(output, WANTED)
        storage.remove(Layout(output).lease)  # its owner is gone, which a test in one process cannot show
        assert (remove(output, WANTED), store.files("out")) == (found, after), (number, fault)


def list_objects(store: Store) -> dict[str, str]:
    listed = store.server.client.list_objects_v2(Bucket="grist", Prefix="out/")
    return {item["Key"]: item["ETag"] for item in listed["Contents"]}


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_all_snapshots_in_a_store_lose_the_page(store: Store) -> None:
    for name in ("CC-MAIN-2026-43", "CC-MAIN-2026-47"):
        write_output_at(storage.join(store.address, "set", name), PAGES[:2])
    latest = {"snapshot": "CC-MAIN-2026-47", "content_hash": "old"}
    with storage.write_atomically(storage.join(store.address, "set", "latest.json")) as file:
        file.write(json.dumps(latest).encode())
    found = remove(storage.join(store.address, "set"), WANTED)
    assert [len(removal.documents) for removal in found.values()] == [1, 1]
    files = store.files("set")
    assert json.loads(files["latest.json"])["content_hash"] == list(found.values())[1].after
    assert FILE in files


def test_a_push_is_verified_in_the_store_and_resumed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    output = str(tmp_path_factory.mktemp("local") / "out")
    write_output_at(output, PAGES)
    target = storage.join(store.address, "published")
    store.server.trouble_every = 19
    values = push(output, target)
    store.server.trouble_every = 0
    files = store.files("published")
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert {name: digest for name, digest in hashes.items() if name != "push.json"} == values["files"]
    assert json.loads(files["push.json"]) == values
    data = sorted(name for name in files if name.endswith(".parquet"))
    storage.remove(storage.join(target, data[0]))
    with storage.write_atomically(storage.join(target, data[1])) as file:
        file.write(b"damaged")
    assert push(output, target) == values
    assert store.files("published") == files
    remote = storage.join(store.address, "source")
    write_output_at(remote, PAGES)
    assert push(remote, storage.join(store.address, "again"))["files"] == values["files"]
