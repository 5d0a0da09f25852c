"""`gristmill curate --snapshot`: crawls by name, previous snapshots, latest.json and the lease."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from itertools import count

import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner

from pipeline import effects
from pipeline.cli import gristmill as gristmill_command
from pipeline.errors import RunFailedError, UserError
from pipeline.publishing.snapshot import Snapshot, _remove_leftovers, find_newest_crawl, latest_path, update_latest
from pipeline.storage.layout import PUBLISHED
from pipeline.storage.lease import hold_lease
from tests.conftest import MINICRAWL, ROOT

NAMES = ("CC-MAIN-2026-43", "CC-MAIN-2026-47")
FILES = ("minicrawl-00000.warc.gz", "minicrawl-00002.warc.gz")
ONE_WORKER = ("--workers", "1")


def rows(folder, column):
    return ds.dataset(folder).to_table(columns=[column])[column].to_pylist()


def complete(base, name, content_hash="x"):
    (base / name / "sketches").mkdir(parents=True)
    numbers = dict.fromkeys(("format", "pages", "kept", "words", "characters", "dropped"), 0)
    lists = {key: [] for key in (*PUBLISHED, "inputs")}
    tables = {key: {} for key in ("config", "files", "versions")}
    manifest = {**numbers, **lists, **tables, "content_hash": content_hash}
    (base / name / "manifest.json").write_text(json.dumps(manifest))


def test_an_invalid_crawl_name_is_refused(tmp_path):
    with pytest.raises(UserError, match="CC-MAIN-2026-43"):
        Snapshot("2026-43", str(tmp_path))


def test_only_complete_and_earlier_snapshots_count_as_previous(tmp_path):
    for name in ("CC-MAIN-2026-43", "CC-MAIN-2025-51", "CC-MAIN-2026-47", "notes"):
        complete(tmp_path, name)
    (tmp_path / "CC-MAIN-2026-38").mkdir()  # begun, not complete
    previous = Snapshot("CC-MAIN-2026-47", str(tmp_path)).previous_sketches()
    assert previous == tuple(str(tmp_path / name / "sketches") for name in ("CC-MAIN-2025-51", "CC-MAIN-2026-43"))


def test_latest_json_names_the_newest_complete_snapshot(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json"):
        update_latest(str(tmp_path))
    complete(tmp_path, NAMES[1], "new")
    update_latest(str(tmp_path))
    complete(tmp_path, NAMES[0], "old")
    update_latest(str(tmp_path))  # an older crawl is curated again
    assert json.loads((tmp_path / "latest.json").read_text()) == {"snapshot": NAMES[1], "content_hash": "new"}
    assert latest_path(str(tmp_path)) == str(tmp_path / "latest.json")


class Overtaken:
    """Another process finishes a newer snapshot and names it, right before the `at`th call of this one."""

    def __init__(self, base, at):
        self.base, self.left = base, at

    def perform(self, effect, subject, action, torn=None):
        self.left -= 1
        if self.left == 0:
            complete(self.base, NAMES[1], "new")
            update_latest(str(self.base))
        return action()


def test_of_two_snapshots_that_finish_at_once_the_newer_one_is_named(tmp_path):
    for at in count(1):
        base = tmp_path / str(at)
        complete(base, NAMES[0], "old")
        world = Overtaken(base, at)
        with effects.simulate(world):
            update_latest(str(base))
        if world.left > 0:  # no call is left to come before
            break
        assert json.loads((base / "latest.json").read_text())["snapshot"] == NAMES[1], f"before call {at}"
    assert at > 10


def test_what_a_killed_process_left_of_latest_json_is_removed(tmp_path):
    left, new, mine = (tmp_path / name for name in (".latest.json.abcd_123.tmp", ".latest.json.efgh4567.tmp", "x.tmp"))
    for path in (left, new, mine):
        path.touch()
    os.utime(left, (0, 0))
    _remove_leftovers(str(tmp_path))
    assert [path.exists() for path in (left, new, mine)] == [False, True, True]


def test_the_newest_crawl_of_a_mirror_and_of_an_index(tmp_path):
    for name in ("CC-MAIN-2025-51", "CC-MAIN-2026-05", "CC-NEWS", "CC-MAIN-2026-09"):
        (tmp_path / "crawl-data" / name).mkdir(parents=True)
        if name != "CC-MAIN-2026-09":  # announced, not yet published
            (tmp_path / "crawl-data" / name / "warc.paths.gz").touch()
    assert find_newest_crawl(str(tmp_path)) == "CC-MAIN-2026-05"
    index = tmp_path / "collinfo.json"
    index.write_text(json.dumps([{"id": "CC-MAIN-2026-47"}, {"id": "CC-MAIN-2008-2009"}, {"id": "CC-MAIN-2026-43"}]))
    assert find_newest_crawl(index=str(index)) == "CC-MAIN-2026-47"
    for wrong in ("<html>busy</html>", "[1]", "7"):
        index.write_text(wrong)
        with pytest.raises(UserError, match="not a JSON list of crawls; name a crawl"):
            find_newest_crawl(index=str(index))
    with pytest.raises(UserError, match="name a crawl"):
        find_newest_crawl(str(tmp_path / "empty"))


@pytest.fixture(scope="module")
def months(tmp_path_factory, gristmill):
    """Two crawls in a mirror, the second with all pages of the first; curated one after the other by name."""
    base = tmp_path_factory.mktemp("months")
    for name, files in {"CC-MAIN-2026-43": FILES[:1], "CC-MAIN-2026-47": FILES}.items():
        folder = base / "mirror/crawl-data" / name
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(MINICRAWL / file, folder)
        paths = "".join(f"crawl-data/{name}/{file}\n" for file in files)
        (folder / "warc.paths.gz").write_bytes(gzip.compress(paths.encode()))
    for name in ("CC-MAIN-2026-43", "newest"):
        gristmill("curate", "--snapshot", name, "--mirror", base / "mirror", "--output", base / "out", *ONE_WORKER)
    return base


def test_a_crawl_is_published_under_its_name_and_latest_names_the_newest(months):
    manifests = {name: json.loads((months / "out" / name / "manifest.json").read_text()) for name in NAMES}
    assert [item["name"] for item in manifests[NAMES[0]]["inputs"]] == [f"crawl-data/{NAMES[0]}/{FILES[0]}"]
    assert json.loads((months / "out/latest.json").read_text()) == {
        "snapshot": NAMES[1],
        "content_hash": manifests[NAMES[1]]["content_hash"],
    }
    assert sorted(path.name for path in (months / "out").iterdir()) == [*NAMES, "latest.json"]  # no lock is left


def test_documents_of_an_earlier_snapshot_are_dropped_from_the_next(months):
    texts = [set(rows(months / "out" / name / "shards", "text")) for name in NAMES]
    assert texts[0]
    assert texts[1]
    assert not texts[0] & texts[1]
    reasons = rows(months / "out" / NAMES[1] / "drops", "reason")
    assert reasons.count("already_published") >= len(texts[0])  # their duplicates have this reason, too


def test_a_snapshot_is_resumed_under_another_name_of_its_folder(months, tmp_path, gristmill):
    shutil.copytree(months / "out", tmp_path / "moved")
    whole = (tmp_path / "moved" / NAMES[1] / "manifest.json").read_bytes()
    (tmp_path / "moved" / NAMES[1] / "manifest.json").unlink()
    base = os.path.relpath(tmp_path / "moved", ROOT)  # where the command runs
    gristmill("curate", "--snapshot", NAMES[1], "--mirror", months / "mirror", "--output", base, *ONE_WORKER)
    assert (tmp_path / "moved" / NAMES[1] / "manifest.json").read_bytes() == whole
    for name in ("manifest.json", "report.json"):
        settings = json.loads((tmp_path / "moved" / NAMES[1] / name).read_text())["config"]["deduplicate"]
        assert settings["previous_sketches"] == [f"{NAMES[0]}/sketches"]


def test_a_complete_snapshot_is_left_alone_and_its_input_is_not_read(months, gristmill):
    before = (months / "out" / NAMES[1] / "manifest.json").stat().st_mtime_ns
    for file in (months / "mirror").rglob("*minicrawl*"):
        file.unlink()  # a request for each of 80,000 files would fail on the first
    (months / "out/latest.json").unlink()
    command = ("curate", "--snapshot", "newest", "--mirror", months / "mirror", "--output", months / "out")
    assert "complete already" in gristmill(*command).stdout
    assert (months / "out" / NAMES[1] / "manifest.json").stat().st_mtime_ns == before
    assert json.loads((months / "out/latest.json").read_text())["snapshot"] == NAMES[1]


def test_a_complete_snapshot_without_a_document_fails_again_and_is_not_the_latest(tmp_path, monkeypatch):
    complete(tmp_path, NAMES[0])
    monkeypatch.setattr("pipeline.reports.console_summary.funnel", lambda layout: "0 pages")
    words = ["curate", "--snapshot", NAMES[0], "--mirror", "nowhere", "--output", str(tmp_path)]
    with pytest.raises(RunFailedError, match="nothing was kept"):
        CliRunner().invoke(gristmill_command, words, catch_exceptions=False, standalone_mode=False)
    assert not (tmp_path / "latest.json").exists()


def test_a_second_start_names_the_running_process_and_writes_nothing(months, gristmill):
    path = months / "other/CC-MAIN-2026-43/run.lock"
    with hold_lease(str(path)):
        command = ("curate", "--snapshot", NAMES[0], "--mirror", months / "mirror", "--output", months / "other")
        done = gristmill(*command, check=False)
        assert done.returncode == 5
        assert f"(process {os.getpid()})" in done.stderr
    assert list((months / "other/CC-MAIN-2026-43").iterdir()) == []
