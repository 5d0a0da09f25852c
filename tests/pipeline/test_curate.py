"""`gristmill curate` on the mini-crawl in a process: equal bytes, resuming, and error messages."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest

from classifiers.artifacts import default_folder
from pipeline.lists.blocklists import SHIPPED
from pipeline.publishing.schema import DROP, SHARD
from tests.conftest import MINICRAWL, ROOT

HOSTS = SHIPPED / "hosts.txt"
# Many small units: work to interrupt and to distribute.
SMALL = ("--set", "prepare.unit_bytes=40000")


def manifest(output: Path) -> dict:
    return json.loads((output / "manifest.json").read_text())


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tallies(output: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in output.glob("work/*/tally/*.json")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, gristmill) -> Path:
    output = tmp_path_factory.mktemp("uninterrupted") / "out"
    gristmill("curate", MINICRAWL, "--output", output, "--workers", 1, *SMALL)
    return output


def test_every_page_has_one_fate_in_the_published_rows(curated_minicrawl):
    shards = ds.dataset(curated_minicrawl / "shards").to_table()
    drops = ds.dataset(curated_minicrawl / "drops").to_table()
    assert shards.schema.equals(SHARD)
    assert drops.schema.equals(DROP)
    stated = manifest(curated_minicrawl)
    assert stated["pages"] == shards.num_rows + drops.num_rows
    positions = [
        (row["warc_file"], row["warc_offset"])
        for table in (shards, drops)
        for row in table.select(["warc_file", "warc_offset"]).to_pylist()
    ]
    assert len(positions) == len(set(positions))
    kept = sorted(path.name for path in curated_minicrawl.glob("work/*/*"))
    assert kept == ["drops", "extracted", "staged", "tally"], "what reruns and further input start from"


def test_one_worker_and_two_write_the_same_bytes(uninterrupted, tmp_path, gristmill):
    gristmill("curate", MINICRAWL, "--output", tmp_path / "two", "--workers", 2, *SMALL)
    assert (tmp_path / "two/manifest.json").read_bytes() == (uninterrupted / "manifest.json").read_bytes()


def test_the_size_of_units_changes_no_row(uninterrupted, curated_minicrawl):
    assert manifest(uninterrupted)["content_hash"] == manifest(curated_minicrawl)["content_hash"]


def test_a_killed_run_resumes_to_the_same_output_without_repeating_finished_units(uninterrupted, tmp_path, gristmill):
    output = tmp_path / "out"
    run = start("curate", MINICRAWL, "--output", output, "--workers", 1, *SMALL)
    wait_for(lambda: len(tallies(output)) >= 3, run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before = tallies(output)
    assert not (output / "manifest.json").exists()
    gristmill("curate", MINICRAWL, "--output", output, "--workers", 1, *SMALL)
    after = tallies(output)
    assert {path: after[path] for path in before} == before
    assert len(after) > len(before)
    assert (output / "manifest.json").read_bytes() == (uninterrupted / "manifest.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.5, 5.0, 8.0])
def test_a_run_killed_at_any_time_resumes_to_the_same_output(uninterrupted, tmp_path, gristmill, seconds):
    output = tmp_path / "out"
    run = start("curate", MINICRAWL, "--output", output, "--workers", 2, *SMALL)
    time.sleep(seconds)
    run.kill()
    run.wait()
    gristmill("curate", MINICRAWL, "--output", output, "--workers", 2, *SMALL)
    assert manifest(output)["content_hash"] == manifest(uninterrupted)["content_hash"]


def test_a_killed_page_process_changes_no_byte(uninterrupted, tmp_path):
    output = tmp_path / "out"
    run = start("curate", MINICRAWL, "--output", output, "--workers", 1, *SMALL)
    wait_for(lambda: len(tallies(output)) >= 2, run)
    children = psutil.Process(run.pid).children()
    assert children
    children[0].kill()
    assert run.wait(timeout=300) == 0
    assert (output / "manifest.json").read_bytes() == (uninterrupted / "manifest.json").read_bytes()


def test_there_are_as_many_page_processes_as_workers(tmp_path):
    run = start("curate", MINICRAWL, "--output", tmp_path / "out", "--workers", 3, *SMALL)
    wait_for(lambda: len(psutil.Process(run.pid).children()) == 3, run)
    run.kill()
    run.wait()


def test_a_finished_output_is_not_changed(uninterrupted, gristmill):
    before = (uninterrupted / "shards/part-00000.parquet").stat().st_mtime_ns
    done = gristmill("curate", MINICRAWL, "--output", uninterrupted, *SMALL)
    assert "complete already" in done.stderr
    assert (uninterrupted / "shards/part-00000.parquet").stat().st_mtime_ns == before


def test_other_settings_are_refused_unless_overwrite_is_given(uninterrupted, tmp_path, gristmill):
    output = tmp_path / "out"
    shutil.copytree(uninterrupted, output)
    other = ("curate", MINICRAWL, "--output", output, *SMALL, "--set", "publish.weights.max_repetition=2")
    refused = gristmill(*other, check=False)
    assert refused.returncode == 2
    assert "publish.weights.max_repetition: was 4.0, is 2.0" in refused.stderr
    assert (output / "manifest.json").read_bytes() == (uninterrupted / "manifest.json").read_bytes()
    gristmill(*other, "--overwrite")
    assert max(ds.dataset(output / "shards").to_table(columns=["weight"])["weight"].to_pylist()) <= 2


def test_a_folder_of_others_is_refused_and_unchanged(tmp_path, gristmill):
    (tmp_path / "work").mkdir()
    files = {"README.md": "mine", "work/thesis.tex": "mine"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for flag in ((), ("--overwrite",)):
        done = gristmill("curate", MINICRAWL, "--output", tmp_path, *flag, check=False)
        assert done.returncode == 2
        assert "holds files that no run of gristmill wrote (README.md, work)" in done.stderr
    assert {name: (tmp_path / name).read_text() for name in files} == files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "work"]


def test_files_of_others_in_an_output_survive_a_run_and_an_overwrite(uninterrupted, tmp_path, gristmill):
    output = tmp_path / "out"
    shutil.copytree(uninterrupted, output)
    (output / "work/mine").mkdir(parents=True)
    for name in ("notes.txt", "work/mine/x", "shards/old.parquet"):
        (output / name).write_text("mine")
    gristmill("curate", MINICRAWL, "--output", output, *SMALL, "--set", "publish.shard_bytes=7777777", "--overwrite")
    assert [(output / name).read_text() for name in ("notes.txt", "work/mine/x", "shards/old.parquet")] == ["mine"] * 3
    assert len(list((output / "work").iterdir())) == 2, "mine, and that of the new settings"
    gristmill("clean", output)
    assert [path.name for path in (output / "work").iterdir()] == ["mine"]


def test_output_and_input_are_apart(tmp_path, gristmill):
    shutil.copytree(MINICRAWL, tmp_path / "warc")
    for output in ("warc", "warc/out", "."):
        done = gristmill("curate", tmp_path / "warc", "--output", tmp_path / output, check=False)
        assert done.returncode == 2
        assert "the input" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["warc", *(p.name for p in MINICRAWL.iterdir())])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.warc.gz"], "missing.warc.gz"),
        (["nothing-*.warc.gz"], "nothing-*.warc.gz"),
        ([MINICRAWL, "--set", "filter_heuristics.no_such=1"], "filter_heuristics.no_such: unknown key"),
        ([MINICRAWL, "--set", "prepare.max_error_share=7"], "prepare.max_error_share"),
        ([MINICRAWL, "--config", "missing.toml"], "missing.toml"),
        ([MINICRAWL, "--set", "score_quality.model='nowhere'"], "nowhere"),
        ([MINICRAWL, "--set", "block_urls.hosts=[{path='no.txt'}]"], "list no.txt: no such file; correct its path"),
        ([MINICRAWL, "--set", f"block_urls.hosts=[{{path='{HOSTS}', sha256='00'}}]"], "the settings say 00"),
        ([MINICRAWL, "--set", "deduplicate.previous_sketches=['nowhere']"], "nowhere: no such file or folder"),
        ([MINICRAWL, "--set", f"deduplicate.previous_sketches=['{MINICRAWL}']"], "name the folder OUT/sketches"),
        ([MINICRAWL, "--set", "filter_heuristics.harmful_words.lists='nowhere'"], "no <language>.txt in nowhere"),
        ([MINICRAWL, "--set", f"block_urls.ut1=[{{path='{HOSTS}'}}]"], "not a readable tar archive"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(arguments, says, tmp_path, gristmill):
    done = gristmill("curate", *arguments, "--output", tmp_path / "out", check=False)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("gristmill: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_above_its_error_budget_publishes_nothing(tmp_path, gristmill):
    output = tmp_path / "out"
    done = gristmill("curate", MINICRAWL, "--output", output, "--set", "prepare.max_error_share=0.0001", check=False)
    assert done.returncode == 3
    assert "prepare.max_error_share" in done.stderr
    assert not (output / "manifest.json").exists()


def test_a_run_that_would_lose_too_much_to_deduplication_publishes_nothing(tmp_path, gristmill):
    done = gristmill("curate", MINICRAWL, "--output", tmp_path, "--set", "deduplicate.max_loss=0.01", check=False)
    assert done.returncode == 3
    assert "raise deduplicate.max_loss (now 0.01)" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "manifest.json").exists()


def test_a_file_above_the_size_limit_is_one_line_and_leaves_no_manifest(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); "
    command = [sys.executable, "-c", limit + "from pipeline.cli import main; main()", "curate", str(MINICRAWL)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("gristmill: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_model_of_another_hash_is_one_line_and_writes_nothing(tmp_path, gristmill):
    shutil.copytree(default_folder("quality"), tmp_path / "quality")
    largest = max((tmp_path / "quality").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes() + b"x")
    model = f"score_quality.model='{tmp_path / 'quality'}'"
    done = gristmill("curate", MINICRAWL, "--output", tmp_path / "out", "--set", model, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{largest} has SHA-256" in line
    assert not (tmp_path / "out").exists()


def drop_root_privileges() -> None:
    """Takes from root the right to read and write every file; no effect for other users."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.parametrize("forbidden", ["input", "listing", "list", "output"])
def test_no_permission_is_one_line_that_names_the_file(tmp_path, forbidden):
    for name in ("input", "list"):
        (tmp_path / name).mkdir()
    warc = shutil.copy(MINICRAWL / "minicrawl-00005.warc.wet.gz", tmp_path / "input")
    hosts = tmp_path / "list" / "hosts.txt"
    hosts.write_text("bad.example")
    (tmp_path / "listing").mkdir()
    (tmp_path / "listing" / "warc.paths").write_text(warc)
    (tmp_path / "output").mkdir()
    (tmp_path / forbidden).chmod(0)
    source = warc if forbidden != "listing" else tmp_path / "listing" / "warc.paths"
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "curate", source]
    command += ["--output", tmp_path / "output" / "out", "--set", f"block_urls.hosts=[{{path='{hosts}'}}]"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=ROOT, timeout=300, preexec_fn=drop_root_privileges
    )
    (tmp_path / forbidden).chmod(0o700)
    assert done.returncode == 7, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gristmill: {'list ' * (forbidden == 'list')}{tmp_path / forbidden}/")
    assert "ermission" in line
    assert list((tmp_path / "output").iterdir()) == []


def test_an_output_that_cannot_be_written_is_one_line(tmp_path, gristmill):
    (tmp_path / "file").write_text("in the way")
    done = gristmill("curate", MINICRAWL, "--output", tmp_path / "file" / "out", check=False)
    assert done.returncode == 4
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr
