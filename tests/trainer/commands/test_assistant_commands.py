"""Post-training commands on a small run: they learn, resume bitwise, and their models are used like any other."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.trainer.commands.arithmetic import write_sums
from tests.trainer.commands.invoke import run
from trainer.chat.chat_batches import is_held_out
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import make_message, prompt_key
from trainer.chat.read_conversations import ReadReport, read_conversations
from trainer.chat.read_preferences import read_preferences
from trainer.cli import train
from trainer.errors import UserError
from trainer.model.build import build_model
from trainer.model.policy_and_value import VALUE_PREFIX
from trainer.model.weights import fill_weight
from trainer.rollouts.chat import Chat
from trainer.rollouts.generate import GenerateSettings
from trainer.rollouts.prompts import Prompt, read_prompts
from trainer.tasks.rewards import ModelReward
from trainer.tasks.start_model import open_start
from trainer.training.checkpoint import find_checkpoint, list_checkpoints, read_state, read_tensors
from trainer.training.saved_model import load_decoder

SET = ["loop.threads=1", "loop.precision=float32", "schedule.warmup_steps=2", "schedule.learning_rate=0.01"]
SET += ["chat.sequence_length=32", "chat.batch_size=4", "chat.held_out=0.2", "checkpoints.every=5"]
CHANGES = [word for change in SET for word in ("--set", change)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(read_tensors(find_checkpoint(path), "model"))


def losses(path: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sums(tmp_path_factory.mktemp("chat") / "sums.jsonl")


@pytest.fixture(scope="module")
def tuned(demo: Path, sums: Path) -> Path:
    run("sft", demo / "run", sums, "--output", demo / "sft", *CHANGES, "--set", "loop.steps=20")
    return demo / "sft"


def test_sft_learns_answers_and_measures_held_out_ones(tuned):
    found = losses(tuned)
    assert len(found) == 20
    assert sum(found[-4:]) < 0.7 * sum(found[:4])
    rows = [json.loads(line) for line in (tuned / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["validation"]["loss"] < found[0]


def test_sft_resumes_bitwise(demo, sums, tuned, tmp_path):
    shutil.copytree(tuned, tmp_path / "cut")
    for path in list_checkpoints(tmp_path / "cut" / "checkpoints")[-1:]:
        shutil.rmtree(path)
    run("sft", demo / "run", sums, "--output", tmp_path / "cut", *CHANGES, "--set", "loop.steps=20")
    assert all(torch.equal(a, weights(tuned)[name]) for name, a in weights(tmp_path / "cut").items())
    assert losses(tmp_path / "cut") == losses(tuned)


def test_adapters_leave_the_weights_as_they_were(demo, sums, tmp_path):
    out = tmp_path / "lora"
    changes = [*CHANGES, "--set", "loop.steps=20", "--set", "model.lora={rank=8}"]
    run("sft", demo / "run", sums, "--output", out, "--lora", *changes)
    before, after = weights(demo / "run"), weights(out)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert {name.rpartition(".")[2] for name in after.keys() - before.keys()} == {"lora_a", "lora_b"}
    assert losses(out)[-1] < losses(out)[0] - 0.1  # the embedding, of 12 steps of training, is frozen
    assert read_state(find_checkpoint(out)).settings["model"]["lora"]["rank"] == 8
    run("export", out, "--output", tmp_path / "exported")
    merged = run("import", tmp_path / "exported", "--output", tmp_path / "imported")
    assert "imported" in merged
    greedy = ["--set", "temperature=0", "--set", "max_new_tokens=8"]
    assert run("generate", out, "3", *greedy) == run("generate", tmp_path / "imported", "3", *greedy)
    run("export", out, "--output", tmp_path / "base", "--adapters", tmp_path / "adapters")
    x = torch.randint(0, 500, (2, 20), generator=torch.Generator().manual_seed(0))
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapters")
    unmerged = load_decoder(out)
    with torch.no_grad():
        ours = unmerged(x).logits
        torch.testing.assert_close(theirs(x).logits, ours, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(load_decoder(tmp_path / "imported")(x).logits, ours, rtol=1e-4, atol=1e-5)
        with theirs.disable_adapter():
            torch.testing.assert_close(theirs(x).logits, load_decoder(demo / "run")(x).logits, rtol=1e-4, atol=1e-5)
        assert (ours - load_decoder(demo / "run")(x).logits).abs().max() > 0.1
    with pytest.raises(UserError, match="has no adapters"):
        run("export", demo / "run", "--output", tmp_path / "x", "--adapters", tmp_path / "y")
    run("sft", out, sums, "--output", tmp_path / "further", *CHANGES, "--set", "loop.steps=2")  # adapters are merged
    assert weights(tmp_path / "further").keys() == before.keys()


def test_wrong_starts_and_files_are_refused_in_one_line(demo, sums, tuned, tmp_path):
    with pytest.raises(UserError, match="longer than the model's context of 64"):
        run("sft", demo / "run", sums, "--output", tmp_path / "a", "--set", "chat.sequence_length=65")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{}\n")
    with pytest.raises(UserError, match="no item can be used"):
        run("sft", demo / "run", empty, "--output", tmp_path / "b", "--set", "chat.sequence_length=32")
    with pytest.raises(UserError, match="other settings"):
        run("sft", tuned, sums, "--output", tuned, *CHANGES, "--set", "loop.steps=20")  # another start
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("command", ["sft", "dpo", "kto", "reward", "grpo"])
def test_what_holds_an_evaluation_item_is_never_read(demo, tmp_path, capfd, command):
    """Of 40 items 10 ask the evaluation's question; with nothing else there is nothing to train on."""
    question = "How many legs have seven spiders and three of the beetles that they have caught in their webs?"
    (tmp_path / "exam.jsonl").write_text(json.dumps({"query": question, "choices": ["74", "70"], "gold": 0}) + "\n")
    rows = []
    for n in range(40):
        asked = question if n % 4 == 0 else f"{n} of them?"
        answers = {"chosen": str(n), "rejected": "no", "verify": {"kind": "number", "answer": str(n)}}
        rows.append({"instruction": asked, "output": str(n)} if command == "sft" else {"prompt": asked, **answers})
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = {"sft": "chat", "grpo": "prompts"}.get(command, "pairs")
    changes = ["loop.threads=1", "loop.steps=1", "schedule.warmup_steps=0", f"{table}.held_out=0"]
    changes += [f"{table}.sequence_length=32"] if command != "grpo" else ["rollout.max_new_tokens=2"]
    changes += [f"decontaminate.sets=['{tmp_path}/exam.jsonl']"]
    words = [word for change in changes for word in ("--set", change)]
    printed = run(command, demo / "run", data, "--output", tmp_path / "run", *words)
    left_out = 20 if command == "kto" else 10  # each pair is two answers
    assert f"skipped: holds an item of exam {left_out}" in printed + capfd.readouterr().err
    data.write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(UserError, match="holds one of an evaluation set"):
        run(command, demo / "run", data, "--output", tmp_path / "none", *words)


def test_the_best_answers_to_evaluation_items_are_not_written(tuned, tmp_path):
    question = "How many legs have seven spiders and three of the beetles that they have caught in their webs?"
    (tmp_path / "exam.jsonl").write_text(json.dumps({"query": question, "choices": ["74", "70"], "gold": 0}) + "\n")
    texts = [question, "1+2=", f"Say it: {question}", "2+3=", "word " * 64]
    rows = [{"prompt": text, "verify": {"kind": "number", "answer": "74"}} for text in texts]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    printed = run("best-of-n", tuned, tmp_path / "asked.jsonl", "--output", tmp_path / "best.jsonl",
                  "--set", f"decontaminate.sets=['{tmp_path}/exam.jsonl']",
                  "--set", "samples=8", "--set", "max_new_tokens=4")  # fmt: skip
    assert "skipped: holds an item of exam 2, prompt and answer over the model's context 1\n" in printed
    answered = [row["messages"][0]["content"] for row in read_lines(tmp_path / "best.jsonl")]
    assert answered == ["1+2=", "2+3="]


PAIRS = [change.replace("chat.", "pairs.").replace("rate=0.01", "rate=0.004") for change in SET]
PAIR_CHANGES = [word for change in PAIRS for word in ("--set", change)]


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Right sums are preferred to wrong ones."""
    path = tmp_path_factory.mktemp("pairs") / "choices.jsonl"
    rows = []
    for n in range(120):
        a, b = n % 10, n * 7 // 10 % 10
        rows.append({"prompt": f"{a}+{b}=", "chosen": str(a + b), "rejected": f"no {a + b + 1}"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = {"prompt": "0+0=", "verify": {"kind": "number", "answer": "0"}}
    (path.parent / "seen.jsonl").write_text(json.dumps(seen) + "\n")
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows_of(path: Path) -> list[dict]:
    return read_lines(path / "metrics.jsonl")


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        ("dpo", []),
        ("dpo", ["--set", "preference.reference_free=true", "--set", "preference.label_smoothing=0.1"]),
        ("dpo", ["--lora"]),
        ("kto", ["--set", "pairs.batch_size=8", "--set", "schedule.learning_rate=0.002"]),
    ],
)
def test_preferences_raise_the_margin_and_resume_bitwise(tuned, choices, tmp_path, command, changes):
    arguments = (command, tuned, choices, *PAIR_CHANGES, "--set", "loop.steps=16", *changes)
    run(*arguments, "--output", tmp_path / "whole")
    found = rows_of(tmp_path / "whole")
    assert found[-1]["validation"]["loss"] < found[0]["loss"]
    assert found[0]["margin"] == pytest.approx(0, abs=1e-5)  # the policy begins as the reference
    if "preference.reference_free=true" not in changes:
        assert found[-1]["margin"] > 0.05
        assert found[-1]["validation"]["accuracy"] > (0.8 if command == "kto" else 0.9)  # of single answers, or pairs
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(list_checkpoints(tmp_path / "cut" / "checkpoints")[-1])
    run(*arguments, "--output", tmp_path / "cut")
    assert [row["loss"] for row in rows_of(tmp_path / "cut")] == [row["loss"] for row in found]


def test_kto_learns_from_answers_that_were_rated_one_by_one(tuned, tmp_path, capfd):
    """Three wrong sums for each right one: the right ones weigh three times as much."""
    rated = [
        {"prompt": f"{n}+{n}=", "completion": f"no {2 * n + wrong}" if wrong else str(2 * n), "label": wrong == 0}
        for n in range(60)
        for wrong in range(4)
    ]
    path = tmp_path / "rated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rated))
    changes = [*PAIR_CHANGES, "--set", "loop.steps=16", "--set", "schedule.learning_rate=0.002"]
    printed = run("kto", tuned, path, *changes, "--output", tmp_path / "run")
    printed += capfd.readouterr().err
    assert re.search(r"(\d+) desirable of weight 3, (\d+) undesirable of weight 1", printed)
    assert rows_of(tmp_path / "run")[-1]["validation"]["margin"] > 0
    with pytest.raises(UserError, match=r"pairs\.batch_size = 1: kto measures the drift on the other answers"):
        run("kto", tuned, path, *PAIR_CHANGES, "--set", "pairs.batch_size=1", "--output", tmp_path / "one")


def test_a_reward_model_ranks_answers_and_is_measured_beside_their_length(tuned, choices, tmp_path):
    run("reward", tuned, choices, *PAIR_CHANGES, "--set", "loop.steps=16", "--output", tmp_path / "reward")
    validation = rows_of(tmp_path / "reward")[-1]["validation"]
    assert validation["accuracy"] > 0.9
    assert validation["length_accuracy"] > 0.9  # the wrong ones are longer, in this file
    assert 0 <= validation["calibration_error"] <= 0.5
    assert weights(tmp_path / "reward")["head.weight"].shape == (1, 32)
    run("export", tmp_path / "reward", "--output", tmp_path / "exported")
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "exported").eval()
    template = ChatTemplate(open_start(tuned).tokenizer)
    prompts = [template.encode_prompt([make_message("user", text)]) for text in ("3+4=", "1+1= or more?")]
    answers = [template.tokenizer.encode(text) for text in ("7", "no 3")]
    ours = ModelReward(tmp_path / "reward", template)([Prompt(tuple(p), "", None) for p in prompts], answers)
    texts = [[*prompt, *answer, template.end] for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(map(len, texts))
    rows = torch.tensor([[*text, *[theirs.config.pad_token_id] * (longest - len(text))] for text in texts])
    found = theirs(rows, attention_mask=rows != theirs.config.pad_token_id).logits[:, 0]
    torch.testing.assert_close(found, torch.tensor(ours), rtol=1e-4, atol=1e-5)


def test_adapters_of_a_reward_model_are_exported_apart(tuned, choices, tmp_path):
    out = tmp_path / "reward"
    run("reward", tuned, choices, *PAIR_CHANGES, "--lora", "--set", "loop.steps=8", "--output", out)
    run("export", out, "--output", tmp_path / "base", "--adapters", tmp_path / "adapters")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapters").eval()
    asked = torch.randint(3, 500, (4, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = load_decoder(out)(asked).values[:, -1]
        torch.testing.assert_close(theirs(asked).logits[:, 0], ours, rtol=1e-4, atol=1e-5)
        with theirs.disable_adapter():
            assert not torch.allclose(theirs(asked).logits[:, 0], ours, rtol=1e-2)


POLICY = ["loop.threads=1", "loop.precision=float32", "schedule.warmup_steps=1", "schedule.learning_rate=0.003"]
POLICY += ["prompts.batch_size=4", "prompts.held_out=0.2", "rollout.samples=4", "rollout.max_new_tokens=6"]
POLICY += ["checkpoints.every=1", "checkpoints.keep_last=10", "loop.steps=5"]
POLICY_CHANGES = [word for change in POLICY for word in ("--set", change)]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "sums.jsonl"
    run("make-tasks", "sums", "--count", 40, "--output", path)
    return path


@pytest.mark.parametrize("command", ["grpo", "ppo"])
def test_rollouts_resume_bitwise_between_two_steps_of_one(demo, tuned, questions, tmp_path, command):
    changes = [*POLICY_CHANGES, "--set", "policy.epochs=2", "--set", "policy.minibatches=2"]  # four steps a rollout
    if command == "ppo":  # with pretraining text in every step
        changes += ["--mix", demo / "set", "--set", f"data.cache={demo}/cache", "--set", "data.workers=1"]
    run(command, tuned, questions, *changes, "--output", tmp_path / "whole")
    found = rows_of(tmp_path / "whole")
    assert found[0]["ratio"] == pytest.approx(1, abs=1e-6)
    assert found[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert found[0]["reward"] == found[3]["reward"]  # the same rollout
    assert [row.get("pretraining_loss", 0) > 1 for row in found] == [command == "ppo"] * 5
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for path in list_checkpoints(tmp_path / "cut" / "checkpoints")[2:]:
        shutil.rmtree(path)
    run(command, tuned, questions, *changes, "--output", tmp_path / "cut")
    assert [(row["loss"], row["reward"]) for row in rows_of(tmp_path / "cut")] == [
        (row["loss"], row["reward"]) for row in found
    ]
    run("generate", tmp_path / "whole", "3", "--set", "max_new_tokens=2")  # the value model stays behind
    run("export", tmp_path / "whole", "--output", tmp_path / "exported")


@pytest.mark.parametrize("adapters", [[], ["--lora"]], ids=["whole", "lora"])
def test_the_value_model_starts_as_the_reward_model(tuned, choices, questions, tmp_path, adapters):
    """A rate of 1e-30 leaves the weights as they are, but for their last bits."""
    run("reward", tuned, choices, *PAIR_CHANGES, "--set", "loop.steps=4", *adapters, "--output", tmp_path / "reward")
    changes = [*POLICY_CHANGES, "--set", "loop.steps=1", "--set", "schedule.learning_rate=1e-30", *adapters]
    run("ppo", tuned, questions, *changes, "--reward", tmp_path / "reward", "--output", tmp_path / "policy")
    reward, policy = load_decoder(tmp_path / "reward"), load_decoder(tmp_path / "policy")
    value = build_model(policy.settings.model_copy(update={"scalar_head": True})).to_empty(device="cpu").eval()
    for name, tensor in read_tensors(find_checkpoint(tmp_path / "policy"), "model"):
        if name.startswith(VALUE_PREFIX):
            fill_weight(value.get_parameter(name.removeprefix(VALUE_PREFIX)), tensor)
    asked = torch.arange(3, 43).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(value(asked).values, reward(asked).values, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(policy(asked).logits, load_decoder(tuned)(asked).logits, rtol=1e-4, atol=1e-5)
    assert reward(asked).values.std() > 0.01  # of its own training
    assert (value.settings.lora is not None) is bool(adapters)


def test_a_reward_model_rewards_a_policy_and_chooses_the_best_of_n(tuned, choices, questions, tmp_path):
    run("reward", tuned, choices, *PAIR_CHANGES, "--set", "loop.steps=4", "--output", tmp_path / "reward")
    reward = ["--reward", tmp_path / "reward"]
    run("ppo", tuned, questions, *POLICY_CHANGES, *reward, "--set", "loop.steps=1", "--output", tmp_path / "policy")
    (row,) = rows_of(tmp_path / "policy")
    assert 0 <= row["verified"] <= 1  # beside the reward that is learned from
    assert 0 <= row["validation"]["verified"] <= 1
    printed = run("best-of-n", tuned, questions, *reward, "--set", "samples=4", "--set", "limit=5",
                  "--set", "max_new_tokens=6", "--output", tmp_path / "best.jsonl",
                  "--pairs", tmp_path / "pairs.jsonl")  # fmt: skip
    told, head, *rows = printed.splitlines()
    assert told.startswith("the reward model was trained on ")
    assert head.split() == ["n", "reward", "verified", "kl"]
    rewards = [float(row.split()[1]) for row in rows[:3]]
    assert rewards == sorted(rewards)
    assert "best.jsonl" in printed
    template = ChatTemplate(open_start(tuned).tokenizer)
    judge = ModelReward(tmp_path / "reward", template)
    for pair in read_preferences([tmp_path / "pairs.jsonl"]):
        prompt = Prompt(tuple(template.encode_prompt(pair.prompt)), "", None)
        chosen, rejected = judge(
            [prompt] * 2, [template.tokenizer.encode(text) for text in (pair.chosen, pair.rejected)]
        )
        assert chosen > rejected
    with pytest.raises(UserError, match="not a reward model"):
        run("grpo", tuned, questions, *POLICY_CHANGES, "--reward", tuned, "--output", tmp_path / "x")
    with pytest.raises(UserError, match="have no `verify`"):
        run("grpo", tuned, choices, *POLICY_CHANGES, "--output", tmp_path / "x")


def test_prompts_of_reward_training_are_counted_and_can_be_left_out(tuned, choices, questions, tmp_path):
    """Half of the policy's questions are among the preferences that the reward model learns."""
    asked = [json.loads(line) for line in questions.read_text().splitlines()]
    texts = list(dict.fromkeys(item["messages"][0]["content"] for item in asked))
    seen, unseen = texts[::2], texts[1::2]
    pairs = [{"prompt": text, "chosen": "1", "rejected": "2"} for text in seen]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    run("reward", tuned, tmp_path / "pairs.jsonl", *PAIR_CHANGES, "--set", "pairs.held_out=0", "--set", "loop.steps=1",
        "--output", tmp_path / "reward")  # fmt: skip
    sides = {text: is_held_out(prompt_key([make_message("user", text)]), 0.2) for text in texts}
    changes = [*POLICY_CHANGES, "--set", "loop.steps=1", "--reward", tmp_path / "reward"]
    told = run("ppo", tuned, questions, *changes, "--output", tmp_path / "shared")
    trained, held = (sum(sides[text] is side for text in seen) for side in (False, True))
    line = f"the reward model was trained on {trained} of the prompts to train on, {held} of those held out"
    assert line in told
    told = run("ppo", tuned, questions, *changes, "--set", "prompts.unshared=true", "--output", tmp_path / "apart")
    assert "the reward model was trained on 0 of the prompts to train on, 0 of those held out\n" in told
    left = sum(item["messages"][0]["content"] in unseen for item in asked)
    assert f"skipped: prompt of the reward model's training {len(asked) - left}" in told
    best = ["best-of-n", tuned, questions, "--reward", tmp_path / "reward"]
    best += ["--set", "samples=1", "--set", "max_new_tokens=2"]
    line = f"the reward model was trained on {len(seen)} of the prompts; unshared = true leaves them out\n"
    assert line in run(*best)
    assert "was trained on 1 of the prompts;" in run(*best, "--set", "limit=1")
    output = ["--output", tmp_path / "best.jsonl"]
    assert "was trained on 0 of the prompts\n" in run(*best, *output, "--set", "unshared=true")
    answered = {item["messages"][0]["content"] for item in read_lines(tmp_path / "best.jsonl")}
    assert answered
    assert answered <= set(unseen)
    with pytest.raises(UserError, match="trained on every one of these prompts"):
        run("best-of-n", tuned, tmp_path / "pairs.jsonl", *best[3:], "--set", "unshared=true")
    (tmp_path / "pairs.jsonl").unlink()
    assert "its files are gone" in run(*best)
    assert "its files are gone" in run("ppo", tuned, questions, *changes, "--output", tmp_path / "unknown")
    with pytest.raises(UserError, match="this file and it is gone"):
        run("ppo", tuned, questions, *changes, "--set", "prompts.unshared=true", "--output", tmp_path / "x")


def test_stages_are_compared_on_prompts_that_none_was_trained_on(demo, tuned, choices, sums, questions, tmp_path):
    run("reward", tuned, choices, *PAIR_CHANGES, "--set", "loop.steps=2", "--output", tmp_path / "reward")
    for seed in (0, 1):
        changes = [*POLICY_CHANGES, "--set", "loop.steps=2", "--set", f"prompts.seed={seed}"]
        reward = ["--reward", tmp_path / "reward"] if seed else []
        run("grpo", tuned, questions, *changes, *reward, "--output", tmp_path / f"grpo-{seed}")
    run("make-tasks", "sums", "--count", 60, "--seed", 5, "--output", tmp_path / "asked.jsonl")
    stages = [f"before={demo / 'run'}", f"sft={tuned}", f"grpo={tmp_path}/grpo-1", f"grpo={tmp_path}/grpo-0"]
    out, (choice_file, word_file) = tmp_path / "comparison", write_quiz(tmp_path)
    printed = run("compare-assistants", *stages, "--prompts", tmp_path / "asked.jsonl", "--reference", "sft",
                  "--reward", tmp_path / "reward", "--held-out", demo / "run", "--output", out,
                  "--task", choice_file, "--task", word_file,
                  "--set", "samples=4", "--set", "max_new_tokens=6")  # fmt: skip
    found = json.loads((out / "comparison.json").read_text())
    assert list(found["stages"]) == ["before", "sft", "grpo", "best-of-n"]
    assert [len(runs) for runs in found["stages"].values()] == [1, 1, 2, 1]
    assert found["stages"]["sft"][0]["kl"] == pytest.approx(0, abs=1e-5)  # the reference itself
    assert found["stages"]["grpo"][0]["kl"] != 0
    assert [score[0]["sampled"] is None for score in found["stages"].values()] == [False, False, False, True]
    assert found["stages"]["before"][0]["bits_per_byte"] < found["stages"]["sft"][0]["bits_per_byte"]  # the tax
    for name, path in (("before", demo / "run"), ("sft", tuned)):
        assert found["stages"][name][0]["questions"] == {
            "pairs": pytest.approx(right_choices(path, choice_file)),
            "words": pytest.approx(guessed_words(path, word_file)),
        }
    assert found["stages"]["before"][0]["questions"]["words"] > 0
    (head,) = (line for line in printed.splitlines() if line.startswith("stage "))
    assert head.split()[-2:] == ["pairs", "words"]
    template = ChatTemplate(open_start(tuned).tokenizer)
    asked = {prompt.key for prompt in read_prompts([tmp_path / "asked.jsonl"], template, ReadReport())}
    learned = {prompt_key(item.prompt) for item in read_conversations([sums], ReadReport())}
    learned = {key for key in learned if not is_held_out(key, 0.2)}
    assert found["prompts"]["trained"]["sft"] == len(learned)
    assert 0 < found["prompts"]["answered"] <= len(asked - learned)
    assert found["prompts"]["answered"] + found["prompts"]["left_out"] == len(asked)
    assert ["sft", "reward model", len(learned)] in found["prompts"]["shared"]  # made of the same questions
    assert list(found["curves"]) == ["grpo", "best-of-n"]
    page = (out / "comparison.html").read_text()
    assert "Gold reward" in page
    assert "[0, 2]" in unescape(page)  # held-out rewards begin before the first step
    assert '<th scope="col" class="n">words</th>' in page
    assert "one run" in printed
    assert "http" not in page.split("<body>")[1]
    with pytest.raises(UserError, match="trained on every one"):
        run(
            "compare-assistants", f"sft={tuned}", "--prompts", choices.parent / "seen.jsonl", "--output", tmp_path / "x"
        )


def write_quiz(folder: Path) -> tuple[Path, Path]:
    """Questions with two answers, and words to guess, of which a model that repeats itself knows some."""
    pairs = [{"query": f"The city {n}", "choices": ["of the river", f"no. {n * 37}"], "gold": n % 2} for n in range(12)]
    words = [{"context": "The river in the", "continuation": word} for word in ("city", "river", "the", "of", "in")]
    texts = words + [{"context": "of the", "continuation": word} for word in ("city", "river", "the", "and", "of")]
    for name, rows in (("pairs", pairs), ("words", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pairs.jsonl", folder / "words.jsonl"


def log_probs_of(path: Path, before: str, after: str) -> tuple[float, bool]:
    """The log-probability of a text behind another one by a single forward, and whether each token is the likeliest."""
    model, tokenizer = load_decoder(path), open_start(path).tokenizer
    first = [tokenizer.separator, *tokenizer.encode(before)]
    whole = torch.tensor([tokenizer.separator, *tokenizer.encode(before + after)])
    with torch.no_grad():
        logs = model(whole[None]).logits[0, :-1].double().log_softmax(-1)
    places = range(len(first) - 1, len(whole) - 1)
    total = sum(float(logs[place, whole[place + 1]]) for place in places)
    return total, all(int(logs[place].argmax()) == int(whole[place + 1]) for place in places)


def right_choices(path: Path, quiz: Path) -> float:
    """The share of questions whose right answer has the highest log-probability for each of its bytes."""
    hits = []
    for row in map(json.loads, quiz.read_text().splitlines()):
        scores = [log_probs_of(path, row["query"], f" {text}")[0] / len(text.encode()) for text in row["choices"]]
        hits.append(scores.index(max(scores)) == row["gold"])
    return sum(hits) / len(hits)


def guessed_words(path: Path, quiz: Path) -> float:
    """The share of words that greedy decoding gives."""
    rows = [json.loads(line) for line in quiz.read_text().splitlines()]
    return sum(log_probs_of(path, row["context"], f" {row['continuation']}")[1] for row in rows) / len(rows)


def test_transformers_chats_with_an_export_and_answers_the_same(tuned, tmp_path):
    run("export", tuned, "--output", tmp_path / "exported")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "exported")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "exported").eval()
    start = open_start(tuned)
    end = ChatTemplate(start.tokenizer).end
    assert model.generation_config.eos_token_id == [end, start.tokenizer.separator]
    for question in ("3+4=", "2+2= <|end|>", "Hello?"):
        chat = Chat(
            load_decoder(tuned), ChatTemplate(start.tokenizer), GenerateSettings(temperature=0, max_new_tokens=12)
        )
        pieces: list[str] = []
        ours = chat.answer(question, pieces.append)
        assert "".join(pieces) == ours
        message = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(
            message, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        drawn = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
        assert chat.template.decode_answer(drawn) == ours
        assert drawn.index(end) == len(drawn) - 1 < 11  # it ends there, before the limit


def test_chat_answers_each_line(tuned):
    result = CliRunner().invoke(
        train, ["chat", str(tuned), "--set", "temperature=0", "--set", "max_new_tokens=5"], "3+4=\n\n3+4=\n"
    )
    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert len(lines) >= 2
    assert lines[0] == lines[-1]  # the empty line began anew
