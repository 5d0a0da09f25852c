from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import SET, run, run_options
from tests.trainer.curated import pages, write_dataset
from trainer.errors import UserError


def test_a_ladder_is_trained_fitted_and_its_largest_run_predicted(demo: Path) -> None:
    rungs = ["--rungs", "hidden_sizes=[16, 24, 32, 40, 48]", "--rungs", "tokens_per_parameter=0.2"]
    printed = run(
        "scaling",
        "ladder",
        "tiny",
        *run_options(demo),
        "--set",
        "model.head_dim=8",
        *rungs,
        "--output",
        demo / "ladder",
    )
    assert "the largest run, predicted from the others" in printed
    names = [path.name for path in sorted((demo / "ladder").iterdir())]
    assert names == ["hidden-16", "hidden-24", "hidden-32", "hidden-40", "hidden-48", "points.csv"]
    assert "loss = " in run("scaling", "fit", demo / "ladder" / "points.csv")
    assert "slope" in run("scaling", "compare", demo / "ladder" / "points.csv", demo / "ladder" / "points.csv")


def test_the_cost_of_a_run_is_estimated() -> None:
    assert "3.79e+25 FLOP" in run("cost", "--parameters", "405e9", "--tokens", "15.6e12")
    assert json.loads(run("cost", "--parameters", "1e9", "--tokens", "2e10", "--json"))["flop"] == 1.2e20


def test_a_mesh_is_proposed_for_a_number_of_gpus() -> None:
    proposed = run("cost", "--mesh", "7b", "--cluster", "gpus=16", "--set", "model.vocab_size=32768")
    assert "proposed     parallel.data = 2, parallel.shard = 8, parallel.expert = 1, parallel.tensor = 1" in proposed
    found = json.loads(run("cost", "--mesh", "sparse", "--cluster", "memory=24", "--json"))
    assert all(sum(cost["memory"].values()) < 24e9 for cost in found)
    assert any(cost["mesh"]["expert"] > 1 for cost in found)  # experts among ranks


def test_two_datasets_are_compared(demo: Path) -> None:
    """The second dataset has its words in another order: models trained on it are worse."""
    worse = [{**row, "text": row["text"][::-1]} for row in pages(200)]
    write_dataset(demo / "worse", worse)
    judge = demo / "judge.jsonl"
    judge.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in pages(30, seed=1)))
    named = ["--dataset", f"good={demo}/set", "--dataset", f"bad={demo}/worse", "--texts", f"fresh={judge}"]
    options = [
        "--tokenizer",
        demo / "tokenizer",
        "--set",
        f"data.cache={demo}/cache",
        *SET,
        "--set",
        "loop.steps=20",
    ]
    printed = run("ablate", "tiny", *named, *options, "--seeds", 2, "--output", demo / "ablation")
    report = json.loads((demo / "ablation" / "ablation.json").read_text())
    assert report["bits_per_byte"]["bad"]["fresh"]["difference"] > 0.1
    assert report["bits_per_byte"]["bad"]["held out of bad"]["difference"] < -0.1
    assert "fresh" in printed
    assert "good is better" in printed


def test_a_dial_is_turned(demo: Path, tmp_path: Path) -> None:
    options = [*run_options(demo)[:4], "--set", f"data.cache={demo}/cache", "--set", "data.held_out=0.1"]
    options += ["--set", "loop.threads=1", "--set", "loop.validate_batches=1", "--set", "data.batch_size=4"]
    rules = ["aspect_ratio=8", "head_dim=8", "sequence_length=32", "tokens_per_parameter=0.1"]
    rules = [word for rule in rules for word in ("--rule", rule)]
    dial = ["--dial", "depths=[1, 2, 3, 4]", "--dial", "fitted=[1]", "--dial", "seeds=2"]
    command = ["scaling", "dial", "tiny", *options, *rules, *dial, "--output"]
    printed = run(*command, tmp_path / "dial")
    assert "predicted from the others" in printed
    with (tmp_path / "dial" / "sweep.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6
    runs = [path.name for path in (tmp_path / "dial").iterdir() if path.is_dir()]
    assert len(runs) == 5 + 7  # one of the sweep's counts twice; two seeds of three depths, and the deepest
    unfitted = ["--rule", "tokens_per_parameter=0.02", "--dial", "fitted=[]"]
    assert "predicted from the others" in run(*command, tmp_path / "unfitted", *unfitted)
    assert (tmp_path / "unfitted" / "sweep.csv").read_text().split() == ["constant,depth,multiple,loss"]


def test_the_weights_of_a_dataset_are_an_arm(demo: Path, tmp_path: Path) -> None:
    named = ["--dataset", f"weighted={demo}/set", "--dataset", f"plain={demo}/set", "--unweighted", "plain"]
    options = ["--tokenizer", demo / "tokenizer", "--set", f"data.cache={demo}/cache", *SET, "--seeds", 1]
    printed = run("ablate", "tiny", *named, *options, "--output", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert list(report["bits_per_byte"]) == ["plain"]
    assert list(report["bits_per_byte"]["plain"]) == ["held out of weighted"]  # once for a path
    assert "no difference shown" in printed  # of one seed
    with pytest.raises(UserError, match="other is not the name of a dataset"):
        run("ablate", "tiny", *named, *options, "--unweighted", "other", "--output", tmp_path / "b")
    with pytest.raises(UserError, match="two datasets or more"):
        run("ablate", "tiny", *named[:2], *options, "--output", tmp_path / "c")


def test_a_search_finds_the_domain_of_the_texts(demo: Path, tmp_path: Path) -> None:
    rows = [row["text"] for row in pages(60, seed=2) if row["domain"] == "travel"]
    texts = tmp_path / "travel.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    search = ["proxies=8", "proxy_steps=12", "domains=2", "seeds=2"]
    words = [word for change in search for word in ("--search", change)]
    options = [*run_options(demo), "--texts", f"travel={texts}", *words, "--output", tmp_path / "out"]
    printed = run("mixture-search", "tiny", *options)
    report = json.loads((tmp_path / "out" / "mixture.json").read_text())
    where = report["domains"].index("travel") if "travel" in report["domains"] else report["domains"].index("others")
    assert report["proposal"][where] > report["natural"][where]
    assert report["rank_correlation"] > 0
    assert "proposal minus natural, travel" in printed
    assert "travel" in (tmp_path / "out" / "shares.toml").read_text()
    assert len([path for path in (tmp_path / "out").iterdir() if path.is_dir()]) == 8 + 3 * 2
