from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages, write_dataset
from trainer.data.removal import remove_documents
from trainer.errors import UserError


def test_the_mixture_of_a_run_is_shown(demo: Path) -> None:
    assert "100.00%" in run("mixture", demo / "run", "--steps", 5)


def test_a_step_is_traced_to_its_pages(demo: Path) -> None:
    lines = [json.loads(line) for line in run("trace", demo / "run", "--step", 3, "--step", 4, "--json").splitlines()]
    assert {line["step"] for line in lines} == {3, 4}
    known = {row["id"]: row for row in pages(200)}
    for line in lines:
        assert line["url"] == known[line["id"]]["url"]
        assert line["warc_offset"] == known[line["id"]]["warc_offset"]
    assert run("trace", demo / "run", "--step", 3).startswith("step\tid\tsource")


def test_documents_are_traced_to_steps_and_checkpoints_before_and_after_their_removal(
    demo: Path, tmp_path: Path
) -> None:
    """The receipt's ids, by the steps that `trace --step` lists; the same when the store has lost their texts."""
    shutil.copytree(demo / "set", tmp_path / "set")
    shutil.copytree(demo / "tokenizer", tmp_path / "tokenizer")
    changes = ("--set", "loop.steps=3", "--set", "schedule.warmup_steps=0", "--set", "checkpoints.every=2")
    run("pretrain", "tiny", *run_options(tmp_path), *changes, "--output", tmp_path / "runs" / "a")
    wanted = json.loads(run("trace", tmp_path / "runs/a", "--step", 1, "--json").splitlines()[0])["id"]
    every = run("trace", tmp_path / "runs/a", "--step", 0, "--step", 1, "--step", 2, "--json")
    listed = [json.loads(line) for line in every.splitlines()]
    steps = sorted({line["step"] for line in listed if line["id"] == wanted})
    (tmp_path / "receipt.json").write_text(json.dumps({"documents": [wanted]}))
    before = run("trace", tmp_path / "runs", "--documents", tmp_path / "receipt.json", "--json")
    found = json.loads(before)
    assert (found["document"], found["steps"]) == (wanted, steps)
    assert found["checkpoints"] == [step for step in (2, 3) if step > steps[0]]
    remove_documents(tmp_path / "cache", [wanted])
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    (tmp_path / "set" / "manifest.json").write_text(json.dumps({**manifest, "content_hash": "e" * 64}))
    assert run("trace", tmp_path / "runs", "--documents", wanted, "--json") == before
    assert run("trace", tmp_path / "runs", "--documents", wanted).splitlines()[1].split("\t")[1] == wanted
    gone = {"url": "", "warc_file": "", "warc_offset": 0}
    again = run("trace", tmp_path / "runs/a", "--step", 0, "--step", 1, "--step", 2, "--json").splitlines()
    assert list(map(json.loads, again)) == [{**line, **gone} if line["id"] == wanted else line for line in listed]


def test_a_run_keeps_the_snapshot_that_it_began_with(demo: Path, tmp_path: Path) -> None:
    """When latest.json names a newer snapshot, the run still traces to its own; an error if nothing of it is left."""

    def snapshot(month: int, seed: int) -> None:
        write_dataset(tmp_path / f"CC-MAIN-2026-{month}", pages(120, seed=seed))
        (tmp_path / "latest.json").write_text(json.dumps({"snapshot": f"CC-MAIN-2026-{month}", "content_hash": "x"}))

    snapshot(38, 1)
    run(
        "pretrain",
        "tiny",
        *run_options(demo),
        "--data",
        tmp_path,
        "--set",
        "loop.steps=2",
        "--set",
        f"data.cache={tmp_path}/cache",
        "--output",
        tmp_path / "run",
    )
    before = run("trace", tmp_path / "run", "--step", 1)
    snapshot(43, 2)
    assert run("trace", tmp_path / "run", "--step", 1) == before
    shutil.rmtree(tmp_path / "CC-MAIN-2026-38")
    snapshot(38, 3)
    assert run("trace", tmp_path / "run", "--step", 1) == before  # its token store is still there
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(UserError, match="its data has changed since it trained"):
        run("trace", tmp_path / "run", "--step", 1)
