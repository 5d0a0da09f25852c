"""Retrieval commands: build and ask a database, with embeddings of a run, and talk with its passages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.trainer.commands.arithmetic import write_sums
from tests.trainer.commands.invoke import run, run_options
from trainer.chat.chat_template import ChatTemplate
from trainer.cli import train
from trainer.errors import UserError
from trainer.retrieval.chunk_database import DatabaseError, open_database
from trainer.retrieval.embedders import to_unit_length
from trainer.rollouts.chat import Chat
from trainer.rollouts.generate import GenerateSettings
from trainer.rollouts.grounded_chat import GroundedChat
from trainer.training.saved_model import load_decoder


@pytest.fixture(scope="module")
def database(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("retrieve") / "db"
    printed = run("retrieve", "build", demo / "set", "--output", out, "--tokenizer", demo / "run",
                  "--cache", demo / "cache", "--set", "chunk_tokens=16", "--set", "dimensions=256")  # fmt: skip
    assert "hashed embeddings of 256" in printed
    return out


def test_a_query_names_its_sources(database):
    (found,) = json.loads(run("retrieve", "query", database, "museum beach hotel", "--json", "-k", 3))
    assert len(found) == 3
    assert all(passage["url"].startswith("https://travel.example/") for passage in found)
    printed = run("retrieve", "query", database, "museum beach hotel", "--exact")
    assert printed.count("https://travel.example/") == 5
    assert found[0]["url"] in printed


def test_embeddings_of_a_run_are_its_mean_hidden_states(demo, tmp_path):
    changes = ["--set", "chunk_tokens=16", "--set", "embedder=run", "--set", f"model={demo / 'run'}"]
    given = ["--tokenizer", demo / "tokenizer", "--cache", demo / "cache", *changes]
    run("retrieve", "build", demo / "set", "--output", tmp_path / "db", *given)
    opened, model = open_database(tmp_path / "db"), load_decoder(demo / "run")
    for number in (0, 3, len(opened) - 1):
        tokens = torch.from_numpy(opened.chunk(number).astype(np.int64))[None]
        with torch.inference_mode():
            state = model.hidden_states(tokens)[0][0].mean(dim=0).numpy()
        np.testing.assert_allclose(opened.embeddings[number], to_unit_length(state[None])[0], atol=1e-5)
    assert len(opened.find(["heart"], 2)[0]) == 2
    record = json.loads((tmp_path / "db/database.json").read_text())
    (tmp_path / "db/database.json").write_text(json.dumps(record | {"embedder": "run of another model"}))
    with pytest.raises(DatabaseError, match="is another model now"):
        open_database(tmp_path / "db").find(["heart"], 1)


def test_a_folder_with_files_is_no_output(demo, database):
    with pytest.raises(UserError, match="choose a new folder"):
        run("retrieve", "build", demo / "set", "--output", database, "--tokenizer", demo / "run")


@pytest.fixture(scope="module")
def assistant(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assistant")
    sums = write_sums(folder / "sums.jsonl", count=40)
    changes = ["loop.threads=1", "loop.precision=float32", "loop.steps=2", "schedule.warmup_steps=1"]
    changes += ["chat.sequence_length=32", "chat.batch_size=4"]
    words = [word for change in changes for word in ("--set", change)]
    run("sft", demo / "run", sums, "--output", folder / "sft", *words)
    return folder / "sft"


def test_chat_shows_where_its_passages_come_from(assistant, database):
    words = ["chat", str(assistant), "--retrieve", str(database), "--passages", "2", "--set", "max_new_tokens=4"]
    result = CliRunner().invoke(train, words, input="hotel beach\n")
    assert result.exit_code == 0, result.output
    sources = [line for line in result.output.splitlines() if line.startswith("[")]
    assert 1 <= len(sources) <= 2
    assert all("https://travel.example/" in line for line in sources)


def test_the_model_reads_the_passages_that_fit_and_keeps_the_question_alone(assistant, database):
    opened, model = open_database(database), load_decoder(assistant)
    template = ChatTemplate(opened.tokenizer)
    settings = GenerateSettings(max_new_tokens=4, temperature=0)
    chat = Chat(model, template, settings)
    asked: list[list] = []
    encode = template.encode_prompt

    def recorded(messages):
        asked.append(list(messages))
        return encode(messages)

    template.encode_prompt = recorded
    answer, read = GroundedChat(chat, opened, 5).answer("hotel")
    assert 1 <= len(read) < 5  # five passages of 16 tokens do not fit into 64 - 4
    assert len(encode(asked[-1])) <= 60
    assert asked[-1][-1].content.startswith(f"[1] {' '.join(read[0].text.split())}")
    assert [message.content for message in chat.messages] == ["hotel", answer]
    _, none = GroundedChat(chat, opened, 1).answer("hotel " * 60)
    assert none == []


def test_a_model_that_reads_neighbors_from_pretraining_to_its_gain(demo, database, tmp_path):
    changes = ["model.retro={chunk_tokens=16,first=1,encoder_layers=1}", f"retrieval.database={database}"]
    words = [word for change in (*changes, "loop.steps=3", "loop.validate_batches=1") for word in ("--set", change)]
    out = tmp_path / "run"
    run("pretrain", "tiny", *run_options(demo), "--output", out, *words)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "loss_without_neighbors", "bits_per_byte_without_neighbors"} <= rows[-1]["validation"].keys()
    gains = json.loads(run("retrieve", "gain", out, "--batches", 1, "--json"))
    assert gains[0]["max_overlap"] is None
    assert gains[0]["tokens"] > gains[1]["tokens"] > 0
    greedy = ["--set", "max_new_tokens=20", "--set", "temperature=0"]
    assert run("generate", out, "heart blood patient " * 6, *greedy)
    assert run("generate", out, "heart", "--no-neighbors", *greedy)
    run("pretrain", out, "--output", tmp_path / "again", "--set", "loop.steps=2")  # by the settings of a run
    run("anneal", out, "--output", tmp_path / "annealed", "--set", "steps=2", "--set", "learning_rate=1e-3")
    with pytest.raises(UserError, match=r"model\.retro"):
        run("export", out, "--output", tmp_path / "exported")
    with pytest.raises(UserError, match="needs a plain decoder"):
        run("chat", out)
    with pytest.raises(UserError, match="reads no neighbors"):
        run("retrieve", "gain", demo / "run")
    with pytest.raises(UserError, match="name their chunk database"):
        run("pretrain", "tiny", *run_options(demo), "--output", tmp_path / "none", "--set", changes[0])
