from __future__ import annotations

import json
from pathlib import Path

from tests.trainer.commands.invoke import SET, run, run_options
from tests.trainer.curated import pages, write_dataset


def test_a_ladder_is_climbed_fitted_and_its_last_rung_foretold(made: Path) -> None:
    rungs = ["--rungs", "hidden_sizes=[16, 32, 48, 64]", "--rungs", "tokens_per_parameter=0.2"]
    said = run(
        "scaling",
        "ladder",
        "tiny",
        *run_options(made),
        "--set",
        "model.head_dim=16",
        *rungs,
        "--output",
        made / "ladder",
    )
    assert "the largest run, predicted from the others" in said
    names = [path.name for path in sorted((made / "ladder").iterdir())]
    assert names == ["hidden-16", "hidden-32", "hidden-48", "hidden-64", "points.csv"]
    assert "loss = " in run("scaling", "fit", made / "ladder" / "points.csv")
    assert "slope" in run("scaling", "compare", made / "ladder" / "points.csv", made / "ladder" / "points.csv")


def test_a_run_is_costed() -> None:
    assert "3.79e+25 FLOP" in run("cost", "--parameters", "405e9", "--tokens", "15.6e12")
    assert json.loads(run("cost", "--parameters", "1e9", "--tokens", "2e10", "--json"))["flop"] == 1.2e20


def test_two_datasets_are_compared(made: Path) -> None:
    """The second dataset has its words in another order: what it teaches is worse."""
    worse = [{**row, "text": row["text"][::-1]} for row in pages(200)]
    write_dataset(made / "worse", worse)
    judge = made / "judge.jsonl"
    judge.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in pages(30, seed=1)))
    named = ["--dataset", f"good={made}/set", "--dataset", f"bad={made}/worse", "--texts", f"fresh={judge}"]
    options = ["--tokenizer", made / "tokenizer", "--set", f"data.cache={made}/cache", *SET, "--set", "loop.steps=20"]
    said = run("ablate", "tiny", *named, *options, "--seeds", 2, "--output", made / "ablation")
    report = json.loads((made / "ablation" / "ablation.json").read_text())
    assert report["bits_per_byte"]["fresh"]["difference"] > 0.1
    assert report["bits_per_byte"]["held out of bad"]["difference"] < -0.1
    assert "fresh" in said
    assert "good is better" in said
