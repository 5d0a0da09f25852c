from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest

from tests.trainer.commands.invoke import SET, run, run_options
from tests.trainer.curated import pages, write_dataset
from trainer.data.tokenizer import load_tokenizer
from trainer.errors import UserError
from trainer.tasks.pretrain_settings import read_pretrain_settings
from trainer.training.checkpoint import find_checkpoint
from trainer.training.metrics import read_metrics


def test_a_run_is_reported(demo: Path) -> None:
    assert run("report", demo / "run").strip() == str(demo / "run" / "report.html")


def test_no_token_file_appears_in_the_working_directory(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    run("pretrain", "tiny", "--data", demo / "set", "--tokenizer", demo / "tokenizer", *SET, "--output", "model")
    assert [path.name for path in Path().iterdir()] == ["model"]
    assert list((tmp_path / "cache/tokens").iterdir())


def test_only_rank_0_prints(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    printed = run("pretrain", "tiny", *run_options(demo), "--output", demo / "run")
    assert "realized" not in printed
    assert "step 12, " not in printed


def test_text_is_generated_and_a_model_exported(demo: Path) -> None:
    assert run("generate", demo / "run", "the heart", "--set", "max_new_tokens=5").startswith("the heart")
    run("export", demo / "run", "--output", demo / "exported")
    assert (demo / "exported" / "model.safetensors").is_file()


def test_denoising_models_fill_in_sentinels(demo: Path) -> None:
    """An encoder-decoder, and a decoder with a prefix; commands that need another model end with one line."""
    shape = ["--set", "model.kv_heads=2", "--set", "loop.steps=3"]
    run(
        "pretrain",
        "tiny-t5",
        *run_options(demo),
        *shape,
        "--set",
        "model.encoder_layers=1",
        "--output",
        demo / "t5",
    )
    run(
        "pretrain",
        "tiny",
        *run_options(demo),
        *shape,
        "--set",
        "objective.denoisers=[{}]",
        "--output",
        demo / "prefix",
    )
    for name in ("t5", "prefix"):
        printed = run(
            "generate",
            demo / name,
            "the <|sentinel_0|> heart",
            "--set",
            "max_new_tokens=4",
            "--set",
            "temperature=1",
        )
        assert printed.strip()
        assert "heart" not in printed[:5]  # the answer alone
    for command, fault in (("eval", "a decoder is needed"), ("export", "only decoders can be exported")):
        with pytest.raises(UserError, match=fault) as caught:
            run(command, demo / "t5", *(["--output", demo / "x"]))
        assert "\n" not in str(caught.value)


def test_a_run_is_annealed_and_its_control_is_evaluated_on_the_same_text(demo: Path) -> None:
    (demo / "stage.toml").write_text(
        f"steps = 9\nlearning_rate = 1e-3\nmin_quality = 0.6\n[sources.best]\npath = '{demo}/set'\n"
    )
    stage = ["--config", demo / "stage.toml", "--set", "steps=2"]
    run("anneal", demo / "run", *stage, "--output", demo / "better")
    run("anneal", demo / "run", *stage, "--control", "--output", demo / "control")
    quality = {row["id"]: row["quality_score"] for row in pages(200)}

    def read(name: str) -> set[float]:
        lines = run("trace", demo / name, "--step", 0, "--step", 1, "--json").splitlines()
        return {quality[json.loads(line)["id"]] for line in lines}

    assert min(read("better")) == 0.6
    assert "\tbest\t" in run("trace", demo / "better", "--step", 0)
    assert min(read("control")) == 0.0
    judged = [read_metrics(demo / name)[-1]["validation"]["domains"] for name in ("better", "control")]
    assert len({str({name: tokens for name, (_, tokens) in found.items()}) for found in judged}) == 1
    documents = [
        json.loads((demo / "eval.json").read_text())["held_out"]["all"]["documents"]
        for name in ("better", "control")
        if run("eval", demo / name, "--data", demo / "set", "--output", demo / "eval.json").startswith("held-out text")
    ]
    assert documents[0] == documents[1] > 5


def test_a_run_is_whole_by_itself(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of its folder works from any directory, after its tokenizer was trained again in place, or is gone."""
    options = ["--tokenizer", tmp_path / "tokenizer", "--data", demo / "set", *run_options(demo)[4:]]
    shutil.copytree(demo / "tokenizer", tmp_path / "tokenizer")
    run("pretrain", "tiny", *options, "--output", tmp_path / "run")
    generate = ["the heart", "--set", "max_new_tokens=9", "--set", "temperature=0"]
    before = run("generate", tmp_path / "run", *generate), run("eval", tmp_path / "run")
    write_dataset(tmp_path / "other", pages(200, seed=5))
    run("tokenizer", tmp_path / "other", "--output", tmp_path / "tokenizer", "--vocab-size", 768)
    assert load_tokenizer(tmp_path / "tokenizer").json != load_tokenizer(demo / "tokenizer").json
    assert (run("generate", tmp_path / "run", *generate), run("eval", tmp_path / "run")) == before
    with pytest.raises(UserError, match="another tokenizer"):  # the same command again
        run("pretrain", "tiny", *options, "--output", tmp_path / "run")
    with pytest.raises(UserError, match="cannot be the start of this run: it has another tokenizer"):
        run("pretrain", "tiny", *options, "--start", tmp_path / "run", "--output", tmp_path / "second")
    shutil.rmtree(tmp_path / "tokenizer")
    (tmp_path / "run").rename(tmp_path / "copy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (run("generate", "../copy", *generate), run("eval", "../copy")) == before
    run("export", "../copy", "--output", "exported")
    assert load_tokenizer(Path("exported")).json == load_tokenizer(demo / "tokenizer").json
    run("anneal", "../copy", "--output", "annealed", "--set", "steps=2", "--set", "learning_rate=1e-3")
    assert (find_checkpoint(Path("annealed")) / "tokenizer.json").is_file()
    assert sorted(path.name for path in Path().iterdir()) == ["annealed", "exported"]


def test_a_relative_path_of_the_data_still_works_from_another_directory(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo)
    options = ["--data", "set", "--tokenizer", "tokenizer", "--set", "data.cache=cache", *run_options(demo)[6:]]
    run("pretrain", "tiny", *options, "--output", tmp_path / "run")
    before = run("eval", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert run("eval", "run") == before
    assert run("eval", "run", "--data", demo / "set", "--cache", "own") == before
    assert (tmp_path / "own").is_dir()


def test_a_reserved_token_is_named_and_the_weights_are_kept(demo: Path, tmp_path: Path) -> None:
    printed = run("name-tokens", demo / "tokenizer", "<|image|>", "--output", tmp_path / "named")
    named = load_tokenizer(tmp_path / "named")
    assert f"<|image|> {named.control['<|image|>']}" in printed
    options = ["--tokenizer", tmp_path / "named", "--data", demo / "set", *run_options(demo)[4:]]
    run("pretrain", "tiny", *options, "--start", demo / "run", "--output", tmp_path / "run")
    assert load_tokenizer(find_checkpoint(tmp_path / "run")).json == named.json


def test_a_run_needs_nothing_but_its_depth(demo: Path, tmp_path: Path) -> None:
    options = run_options(demo)[:4]  # data and tokenizer
    rules = ["aspect_ratio=16", "head_dim=16", "sequence_length=64", "tokens_per_parameter=0.5"]
    words = [word for rule in rules for word in ("--rule", rule)]
    changes = ["--set", f"data.cache={demo}/cache", "--set", "data.held_out=0.1", "--set", "loop.threads=1"]
    printed = run("pretrain", *options, "--depth", 2, *words, *changes, "--output", tmp_path / "run")
    made = read_pretrain_settings(str(tmp_path / "run"))
    assert (made.model.layers, made.model.hidden_size, made.model.heads) == (2, 32, 2)
    assert made.model.vocab_size == load_tokenizer(demo / "tokenizer").vocab_size
    assert f"step {made.loop.steps}," in printed
    assert len(read_metrics(tmp_path / "run")) == made.loop.steps


def test_what_is_set_stays_and_a_configuration_gives_the_rest(demo: Path, tmp_path: Path) -> None:
    options = [*run_options(demo)[:4], "--depth", 1, "--rule", "aspect_ratio=16", "--rule", "head_dim=16"]
    options += ["--rule", "sequence_length=32", "--set", f"data.cache={demo}/cache", "--set", "loop.steps=3"]
    run("pretrain", "tiny", *options, "--set", "loop.threads=1", "--output", tmp_path / "run")
    made = read_pretrain_settings(str(tmp_path / "run"))
    assert made.loop.steps == 3  # set
    assert made.data.sequence_length == 32  # by the rules
    assert made.data.max_repetitions == 40  # of the preset
    assert made.model.kv_heads is None


def test_a_run_without_depth_needs_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="name a CONFIG, or give --depth"):
        run("pretrain", "--output", tmp_path / "run")
