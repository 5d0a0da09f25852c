"""The commands from end to end on a small dataset: what a newcomer types."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click import UsageError
from click.testing import CliRunner

from tests.trainer.curated import pages, write_dataset
from trainer.cli import train
from trainer.errors import UserError
from trainer.studies.ablation import Difference
from trainer.training.metrics import read_metrics

Run = Callable[..., str]
FAST = [
    "model.hidden_size=32",
    "model.layers=1",
    "model.heads=2",
    "model.kv_heads=1",
    "data.batch_size=8",
    "data.sequence_length=64",
]
FAST += [
    "model.context_length=64",
    "loop.steps=12",
    "loop.threads=1",
    "loop.precision=float32",
    "schedule.warmup_steps=2",
]
FAST += ["data.held_out=0.1", "data.workers=1"]
SET = [word for change in FAST for word in ("--set", change)]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(
        train, [str(argument) for argument in arguments], catch_exceptions=False, standalone_mode=False
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a tokenizer and a trained run."""
    folder = tmp_path_factory.mktemp("cli")
    rows = pages(200)
    write_dataset(folder / "set", rows)
    said = run("tokenizer", folder / "set", "--output", folder / "tokenizer", "--vocab-size", 768)
    assert "encoded by tiktoken (equal ids)" in said
    assert json.loads((folder / "tokenizer" / "tokenizer_report.json").read_text())["all"]["documents"] > 0
    said = run(
        "tokens", folder / "set", "--tokenizer", folder / "tokenizer", "--cache", folder / "cache", "--workers", 1
    )
    assert "200 documents" in said
    said = run("pretrain", "tiny", *base(folder), "--output", folder / "run")
    assert "realized" in said
    assert "step 12," in said
    return folder


def base(folder: Path) -> list[object]:
    return ["--data", folder / "set", "--tokenizer", folder / "tokenizer", "--set", f"data.cache={folder}/cache", *SET]


def test_a_run_is_reported(made: Path) -> None:
    assert run("report", made / "run").strip() == str(made / "run" / "report.html")


def test_of_several_ranks_one_talks(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    said = run("pretrain", "tiny", *base(made), "--output", made / "run")
    assert "realized" not in said
    assert "step 12, " not in said


def test_the_mixture_of_a_run_is_shown(made: Path) -> None:
    assert "100.00%" in run("mixture", made / "run", "--steps", 5)


def test_a_step_is_traced_to_its_pages(made: Path) -> None:
    lines = [json.loads(line) for line in run("trace", made / "run", "--step", 3, "--step", 4, "--json").splitlines()]
    assert {line["step"] for line in lines} == {3, 4}
    known = {row["id"]: row for row in pages(200)}
    for line in lines:
        assert line["url"] == known[line["id"]]["url"]
        assert line["warc_offset"] == known[line["id"]]["warc_offset"]
    assert run("trace", made / "run", "--step", 3).startswith("step\tid\tsource")


def test_a_run_keeps_the_snapshot_that_it_began_with(made: Path, tmp_path: Path) -> None:
    """The pointer moves on; the run still leads to its own pages. What it read and is no more, it does not invent."""

    def snapshot(month: int, seed: int) -> None:
        write_dataset(tmp_path / f"CC-MAIN-2026-{month}", pages(120, seed=seed))
        (tmp_path / "latest.json").write_text(json.dumps({"snapshot": f"CC-MAIN-2026-{month}", "content_hash": "x"}))

    snapshot(38, 1)
    run("pretrain", "tiny", *base(made), "--data", tmp_path, "--set", "loop.steps=2", "--output", tmp_path / "run")
    before = run("trace", tmp_path / "run", "--step", 1)
    snapshot(43, 2)
    assert run("trace", tmp_path / "run", "--step", 1) == before
    shutil.rmtree(tmp_path / "CC-MAIN-2026-38")
    snapshot(38, 3)
    with pytest.raises(ValueError, match="its data is no longer what it read"):
        run("trace", tmp_path / "run", "--step", 1)


def test_a_run_is_evaluated(made: Path) -> None:
    quiz = made / "quiz.jsonl"
    quiz.write_text(json.dumps({"query": "Question: Which?", "choices": ["ice", "fire"], "gold": 1}) + "\n")
    said = run("eval", made / "run", "--task", quiz, "--output", made / "eval.json")
    report = json.loads((made / "eval.json").read_text())
    assert report["tasks"]["quiz"]["questions"] == 1
    assert 0 < report["held_out"]["all"]["bits_per_byte"] < 8
    assert set(report["held_out"]) == {"all", "health", "software", "travel"}
    assert "quiz, 1 questions: chance 0.500, answer " in said


def test_text_is_generated_and_a_model_exported(made: Path) -> None:
    assert run("generate", made / "run", "the heart", "--set", "max_new_tokens=5").startswith("the heart")
    run("export", made / "run", "--output", made / "exported")
    assert (made / "exported" / "model.safetensors").is_file()


def test_models_that_denoise_fill_in(made: Path) -> None:
    """An encoder-decoder, and a decoder with a prefix; what else they cannot do is said in one line."""
    shape = ["--set", "model.kv_heads=2", "--set", "loop.steps=3"]
    run("pretrain", "tiny-t5", *base(made), *shape, "--set", "model.encoder_layers=1", "--output", made / "t5")
    run("pretrain", "tiny", *base(made), *shape, "--set", "objective.denoisers=[{}]", "--output", made / "prefix")
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


def test_contamination_is_reported(made: Path) -> None:
    evaluation = made / "held.jsonl"
    evaluation.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in pages(200)[:3]))
    said = json.loads(run("contamination", made / "set", "--eval", evaluation, "--output", made / "hits.jsonl"))
    assert said["sets"]["held"] == {"items": 3, "too_short": 0, "found": 3, "documents": 3}
    assert len((made / "hits.jsonl").read_text().splitlines()) == 3
    chats = made / "chats.jsonl"
    chats.write_text(
        json.dumps({"messages": [{"content": pages(200)[1]["text"]}, {"content": "ok"}]}) + "\n" + '{"a": "b"}\n'
    )
    said = json.loads(run("contamination", chats, "--eval", evaluation, "--clean", made / "clean.jsonl"))
    assert said["contaminated"] == 1
    assert said["canaries"]["recall"] == 1.0
    assert (made / "clean.jsonl").read_text() == '{"a": "b"}\n'
    with pytest.raises(UsageError, match="exclude"):
        train.main(
            ["contamination", str(made / "set"), "--eval", str(evaluation), "--clean", "x"], standalone_mode=False
        )


def test_the_order_of_a_file_is_tested(made: Path) -> None:
    examples = made / "examples.jsonl"
    examples.write_text("".join(json.dumps({"text": row["text"][:60]}) + "\n" for row in pages(20)))
    assert run("order-test", made / "run", examples, "--runs", 4, "--shuffles", 2).startswith("p = ")


def test_a_ladder_is_climbed_fitted_and_its_last_rung_foretold(made: Path) -> None:
    rungs = ["--rungs", "widths=[16, 32, 48, 64]", "--rungs", "tokens_per_parameter=0.2"]
    said = run(
        "scaling", "ladder", "tiny", *base(made), "--set", "model.head_dim=16", *rungs, "--output", made / "ladder"
    )
    assert "the largest run, predicted from the others" in said
    names = [path.name for path in sorted((made / "ladder").iterdir())]
    assert names == ["points.csv", "width-16", "width-32", "width-48", "width-64"]
    assert "loss = " in run("scaling", "fit", made / "ladder" / "points.csv")
    assert "slope" in run("scaling", "compare", made / "ladder" / "points.csv", made / "ladder" / "points.csv")


@pytest.mark.parametrize(
    "words",
    ["eval nothing", "generate nothing", "export nothing --output x", "anneal nothing --output x", "report nothing"],
)
def test_a_run_that_is_not_there_is_said_so(words: str) -> None:
    result = CliRunner().invoke(train, words.split())
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == "Error: Invalid value for 'RUN': Directory 'nothing' does not exist."


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
    recipe = ["--tokenizer", made / "tokenizer", "--set", f"data.cache={made}/cache", *SET, "--set", "loop.steps=20"]
    said = run("ablate", "tiny", *named, *recipe, "--seeds", 2, "--output", made / "ablation")
    report = json.loads((made / "ablation" / "ablation.json").read_text())
    assert report["bits_per_byte"]["fresh"]["difference"] > 0.1
    assert report["bits_per_byte"]["held out of bad"]["difference"] < -0.1
    assert "fresh" in said
    assert "good is better" in said


def test_a_difference_has_an_interval() -> None:
    found = Difference("x", (1.0, 1.1, 0.9), (0.8, 0.9, 0.72))
    assert found.mean == pytest.approx(-0.19333, abs=1e-4)
    assert found.interval[0] < found.mean < found.interval[1] < 0
    assert Difference("x", (1.0,), (0.9,)).interval == (-float("inf"), float("inf"))
