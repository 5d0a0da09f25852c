"""Spill files: what is read equals what was written, and disk errors name the file."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import storage
from pipeline.deduplication.direct import run_here
from pipeline.deduplication.exchange import Deduplicate
from pipeline.deduplication.messages import Job
from pipeline.deduplication.records import KEYED, StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.spill import Spilled, open_spill_folder, read_spilled, spill_messages, spill_unit
from pipeline.storage.lease import this_process
from tests.conftest import ROOT
from tests.pipeline.deduplication.staging import OPTIONS, document, row, write


def test_every_payload_is_read_as_written(tmp_path: Path) -> None:
    records = np.zeros(3, KEYED)
    records["document"] = [1, 1 << 40, 3]
    payloads = [
        ("lost", records),
        (7, records["document"]),
        ("unit", StagedUnit(3, "é.parquet")),
        ("blocked 0", records[:0]),
    ]
    sent = list(spill_messages(enumerate(payloads), str(tmp_path)))
    assert [target for target, _ in sent] == [0, 1, 2, 3]
    assert all(isinstance(value, Spilled) for _, value in sent)
    assert len(list(tmp_path.iterdir())) == 1
    back = list(read_spilled(value for _, value in reversed(sent)))[::-1]
    assert back[2] == payloads[2]
    for number in (0, 1, 3):
        assert back[number][0] == payloads[number][0]
        assert back[number][1].dtype == payloads[number][1].dtype
        np.testing.assert_array_equal(back[number][1], payloads[number][1])


def test_only_the_local_runner_has_a_folder_and_it_is_deleted_with_the_block(tmp_path: Path) -> None:
    with open_spill_folder(str(tmp_path), ["--runner=PortableRunner"]) as none:
        assert none is None
    with open_spill_folder(str(tmp_path / "new"), OPTIONS) as folder:
        assert folder is not None
        assert Path(folder).parent == tmp_path / "new"
        assert Path(folder).stat().st_mode & 0o077 == 0
        list(spill_messages([(0, "x")], folder))
    assert list((tmp_path / "new").iterdir()) == []
    with open_spill_folder("memory://bucket/verdicts", OPTIONS) as folder:
        assert folder is not None
        assert Path(folder).is_dir()


def test_verdicts_are_equal_with_and_without_spill_files_and_without_beam(tmp_path: Path) -> None:
    settings = DeduplicateSettings(partition_bytes=20_000, paragraph_words=8, min_words_left=0)
    texts = [
        f"one two three four five six seven eight nine {n % 7}\nshared line of words {n % 3} in it" for n in range(60)
    ]
    units = [
        [row(document(f"{unit}-{n}", text), settings) for n, text in enumerate(texts[unit::3])] for unit in range(3)
    ]
    paths = write(tmp_path / "staged", units)
    verdicts = []
    job = Job(settings, 3, str(tmp_path / "direct"))
    run_here(job, [StagedUnit(n, path) for n, path in enumerate(paths)])
    direct = {path.name: path.read_bytes() for path in (tmp_path / "direct").iterdir() if path.suffix == ".parquet"}
    for spill in (None, tmp_path / "spill"):
        folder = tmp_path / f"verdicts-{spill is None}"
        if spill:
            spill.mkdir()
        job = Job(settings, 3, str(folder), spill and str(spill))
        with beam.Pipeline(options=PipelineOptions(OPTIONS)) as pipeline:
            created = pipeline | beam.Create([(n, ("unit", StagedUnit(n, path))) for n, path in enumerate(paths)])
            created | Deduplicate(job)
        verdicts.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert verdicts[0] == verdicts[1] == direct
    assert len(verdicts[0]) == 3
    assert len(list((tmp_path / "spill").iterdir())) > 20


def test_remote_units_are_copied_once_and_keep_their_names(tmp_path: Path) -> None:
    local = StagedUnit(0, str(tmp_path / "a.parquet"))
    assert spill_unit(str(tmp_path), local) == local
    for number in (1, 2):  # units of two previous runs have the same name
        with storage.write_atomically(f"memory://run-{number}/sketches/a.parquet") as file:
            file.write(b"%d" % number)
    previous = [StagedUnit(n, f"memory://run-{n}/sketches/a.parquet", previous=True) for n in (1, 2)]
    copies = [spill_unit(str(tmp_path), unit) for unit in previous]
    assert [Path(unit.path).name for unit in copies] == ["a.parquet"] * 2
    assert [Path(unit.path).read_bytes() for unit in copies] == [b"1", b"2"]
    assert [(unit.index, unit.previous) for unit in copies] == [(1, True), (2, True)]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def full() -> object:
        yield 0, "x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(storage.StorageError, match=r"the disk is full .* free some space and run again"):
        list(spill_messages(full(), str(tmp_path)))  # type: ignore[arg-type]


def test_a_unit_that_cannot_be_read_is_named_and_not_the_file_that_was_being_written(tmp_path: Path) -> None:
    missing = StagedUnit(0, str(tmp_path / "unit-0.parquet"))
    (path,) = write(tmp_path / "staged", [[row(document("a", "one two three four five six"), DeduplicateSettings())]])
    content = bytearray(Path(path).read_bytes())
    content[-40:-8] = b"\xff" * 32  # the footer
    Path(path).write_bytes(content)
    for unit in (missing, StagedUnit(0, path)):
        with pytest.raises(storage.StorageError, match=rf"^{unit.path}: "):
            list(spill_messages(((0, unit.columns(["id"])) for _ in range(1)), str(tmp_path)))


def test_a_stopped_process_leaves_no_texts(tmp_path: Path) -> None:
    program = (
        "from pipeline.deduplication.spill import open_spill_folder, spill_messages\n"
        "from pipeline.stop import stop_process\n"
        f"with open_spill_folder('memory://bucket/verdicts', {OPTIONS}) as folder:\n"
        "    list(spill_messages([(0, 'text')], folder))\n"
        "    print(folder, flush=True)\n"
        "    stop_process('stopped', 143)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_dead_processes_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = subprocess.Popen(["true"])
    child.wait()
    mine = this_process()
    owners = {
        "shuffle-dead": {**mine, "pid": child.pid},
        "shuffle-reused": {**mine, "started": 1},
        "shuffle-alive": mine,
        "shuffle-elsewhere": {**mine, "pid": child.pid, "machine": "another"},
        "shuffle-mine": [1],
        "others-dead": {**mine, "pid": child.pid},
    }
    for name, owner in owners.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "owner.json").write_text(json.dumps(owner))
        (tmp_path / name / "0a").write_text("text")
    (tmp_path / "shuffle-unowned").mkdir()
    with open_spill_folder("memory://bucket/verdicts", OPTIONS) as folder:
        assert folder is not None
        with open_spill_folder("memory://bucket/verdicts", OPTIONS):
            assert Path(folder).is_dir()
    left = {*owners, "shuffle-unowned"} - {"shuffle-dead", "shuffle-reused"}
    assert {path.name for path in tmp_path.iterdir()} == left


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")
def test_a_folder_of_another_user_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "shuffle-trap").mkdir()
    os.mkfifo(tmp_path / "shuffle-trap/owner.json")  # whoever opens it waits for a writer
    os.chown(tmp_path / "shuffle-trap", 4242, 4242)
    with open_spill_folder("memory://bucket/verdicts", OPTIONS):
        assert len(list(tmp_path.iterdir())) == 2
