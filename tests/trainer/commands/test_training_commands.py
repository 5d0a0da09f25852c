from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages
from trainer.errors import UserError
from trainer.training.metrics import read_metrics


def test_a_run_is_reported(made: Path) -> None:
    assert run("report", made / "run").strip() == str(made / "run" / "report.html")


def test_of_several_ranks_one_talks(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    said = run("pretrain", "tiny", *run_options(made), "--output", made / "run")
    assert "realized" not in said
    assert "step 12, " not in said


def test_text_is_generated_and_a_model_exported(made: Path) -> None:
    assert run("generate", made / "run", "the heart", "--set", "max_new_tokens=5").startswith("the heart")
    run("export", made / "run", "--output", made / "exported")
    assert (made / "exported" / "model.safetensors").is_file()


def test_models_that_denoise_fill_in(made: Path) -> None:
    """An encoder-decoder, and a decoder with a prefix; what else they cannot do is said in one line."""
    shape = ["--set", "model.kv_heads=2", "--set", "loop.steps=3"]
    run("pretrain", "tiny-t5", *run_options(made), *shape, "--set", "model.encoder_layers=1", "--output", made / "t5")
    run(
        "pretrain", "tiny", *run_options(made), *shape, "--set", "objective.denoisers=[{}]", "--output", made / "prefix"
    )
    for name in ("t5", "prefix"):
        said = run(
            "generate", made / name, "the <|sentinel_0|> heart", "--set", "max_new_tokens=4", "--set", "temperature=1"
        )
        assert said.strip()
        assert "heart" not in said[:5]  # the answer alone
    for command, fault in (("eval", "a decoder is needed"), ("export", "only decoders can be exported")):
        with pytest.raises(UserError, match=fault) as caught:
            run(command, made / "t5", *(["--output", made / "x"]))
        assert "\n" not in str(caught.value)


def test_a_run_is_annealed_and_its_control_is_judged_on_the_same_text(made: Path) -> None:
    (made / "stage.toml").write_text(
        f"steps = 9\nlearning_rate = 1e-3\nmin_quality = 0.6\n[sources.best]\npath = '{made}/set'\n"
    )
    stage = ["--config", made / "stage.toml", "--set", "steps=2"]
    run("anneal", made / "run", *stage, "--output", made / "better")
    run("anneal", made / "run", *stage, "--control", "--output", made / "control")
    quality = {row["id"]: row["quality_score"] for row in pages(200)}

    def read(name: str) -> set[float]:
        lines = run("trace", made / name, "--step", 0, "--step", 1, "--json").splitlines()
        return {quality[json.loads(line)["id"]] for line in lines}

    assert min(read("better")) == 0.6
    assert "\tbest\t" in run("trace", made / "better", "--step", 0)
    assert min(read("control")) == 0.0
    judged = [read_metrics(made / name)[-1]["validation"]["domains"] for name in ("better", "control")]
    assert len({str({name: tokens for name, (_, tokens) in found.items()}) for found in judged}) == 1
    documents = [
        json.loads((made / "eval.json").read_text())["held_out"]["all"]["documents"]
        for name in ("better", "control")
        if run("eval", made / name, "--data", made / "set", "--output", made / "eval.json").startswith("held-out text")
    ]
    assert documents[0] == documents[1] > 5
