"""Runs read from their folders: found, filtered by settings and results, compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer import runs
from trainer.data.curated_dataset import Dataset
from trainer.data.sources import DataSettings, SourceSettings
from trainer.errors import UserError
from trainer.reports import run_record
from trainer.reports.run_record import write_verdict
from trainer.studies.experiments import (
    RunCondition,
    compare_runs,
    find_experiments,
    format_table,
    parse_condition,
    read_experiment,
    select_runs,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs that differ in one setting, one that failed, and one that was killed."""
    folder = tmp_path_factory.mktemp("runs")
    few = {"loop": {"steps": 2}, "checkpoints": {"every": 10}}
    runs.run(folder / "slow", {**few, "schedule": {"learning_rate": 1e-3}})
    runs.run(folder / "deep" / "fast", few)
    with pytest.raises(OverflowError):
        runs.run(folder / "failed", few, source=Exploding())
    runs.run(folder / "killed", few)
    for name in ("outcome.json", "report.html"):
        (folder / "killed" / name).unlink()
    rows = (folder / "killed/metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "killed/metrics.jsonl").write_text(rows[0])
    return folder


class Exploding(type(runs.source())):  # type: ignore[misc]
    """Data with a bug."""

    def __init__(self) -> None:
        vars(self).update(vars(runs.source()))

    def batch(self, step: int, rank: int = 0, world: int = 1):
        raise OverflowError("https://me:S3CRET@a.example/x?key=S3CRET\nis too large")


def test_every_run_is_found_in_order_with_how_it_ended(folder):
    found = {run.facts["name"]: run.facts for run in find_experiments([folder, folder / "slow"])}
    assert list(found) == ["slow", "fast", "failed", "killed"]
    assert [facts["status"] for facts in found.values()] == ["finished", "finished", "failed", "unfinished"]
    assert found["failed"]["verdict"] == "failed: OverflowError: https://a.example/x is too large"
    assert found["killed"]["verdict"] == "running or killed at step 1 of 2"
    assert found["fast"]["verdict"].startswith(("better: training loss", "unchanged: training loss"))
    assert found["fast"]["step"] == found["fast"]["steps"] == 2
    assert find_experiments([folder / "slow" / "checkpoints"]) == []


def test_a_folder_says_which_code_and_environment_made_it(folder):
    origin = read_experiment(folder / "slow").origin
    assert len(origin["code.sources"]) == 16
    assert {"python", "torch", "platform", "code.version"} <= origin.keys()
    record = json.loads((folder / "slow/experiment.json").read_text())
    assert (record["command"], len(record["starts"])) == (None, 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("status=failed", ["failed"]),
        ("status!=finished", ["failed", "killed"]),
        ("schedule.learning_rate<0.005", ["slow"]),
        ("schedule.learning_rate >= 0.01", ["fast", "failed", "killed"]),
        ("verdict~OVERFLOW", ["failed"]),
        ("step<2", ["failed", "killed"]),
        ("loss>100", []),
        ("name<3", []),  # a name is no number
    ],
)
def test_conditions_select_by_settings_and_results(folder, text, names):
    found = select_runs(find_experiments([folder]), [parse_condition(text)])
    assert [run.facts["name"] for run in found] == names


def test_wrong_conditions_are_refused(folder):
    with pytest.raises(UserError, match=r"no run has it; did you mean loop\.steps"):
        select_runs(find_experiments([folder]), [RunCondition("loop.step", "=", 1)])
    with pytest.raises(UserError, match="expected KEY=VALUE"):
        parse_condition("loss")


def test_a_comparison_shows_what_differs_and_the_outcomes(folder):
    pair = [read_experiment(folder / "slow"), read_experiment(folder / "deep/fast")]
    found = {part.key: part for part in compare_runs(pair)}
    assert [(part.kind, part.values) for key, part in found.items() if key == "schedule.learning_rate"] == [
        ("setting", [1e-3, 1e-2])
    ]
    assert {key for key, part in found.items() if part.kind != "outcome"} == {"schedule.learning_rate"}
    assert found["loss"].values[0] != found["loss"].values[1]


def test_the_users_verdict_stands_before_the_derived_one(folder):
    derived = read_experiment(folder / "slow").facts["verdict"]
    write_verdict(folder / "slow", " too slow\n a rate ")
    assert read_experiment(folder / "slow").facts["verdict"] == "too slow a rate"
    write_verdict(folder / "slow", "")
    assert read_experiment(folder / "slow").facts["verdict"] == derived


def test_a_table_has_even_columns():
    assert format_table([("a", "bb"), ("ccc", "")]) == "a    bb\nccc"


def test_hashes_of_inputs_name_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_dataset(path: str) -> Dataset:
        opened.append(path)
        return Dataset(path, "c0ffee", ())

    monkeypatch.setattr(run_record, "open_dataset", open_dataset)
    address = "https://me:SECRET@a.example/data?key=SECRET"
    settings = DataSettings(sources={"web": SourceSettings(path=address)})
    assert run_record.hash_inputs(settings) == {"sources.web https://a.example/data": "c0ffee"}
    assert opened == [address]
