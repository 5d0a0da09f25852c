from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages, write_dataset
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


def test_a_run_keeps_the_snapshot_that_it_began_with(demo: Path, tmp_path: Path) -> None:
    """When latest.json names a newer snapshot, the run still traces to its own; if that has changed, it is an error."""

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
        "--output",
        tmp_path / "run",
    )
    before = run("trace", tmp_path / "run", "--step", 1)
    snapshot(43, 2)
    assert run("trace", tmp_path / "run", "--step", 1) == before
    shutil.rmtree(tmp_path / "CC-MAIN-2026-38")
    snapshot(38, 3)
    with pytest.raises(UserError, match="its data has changed since it trained"):
        run("trace", tmp_path / "run", "--step", 1)
