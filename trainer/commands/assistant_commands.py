"""Commands that make an assistant of a pretrained model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trainer.commands.group import (
    EXISTING_FILE,
    EXISTING_RUN,
    FILE,
    FOLDER,
    Command,
    check_run_folder,
    escape_controls,
    is_main,
    key_option,
    pick_device,
    train,
)


def post_training_options(what: str) -> Callable[[Command], Command]:
    """RUN and FILES, --output, --config, --set, --allow-changes of a post-training command."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--allow-changes", is_flag=True, help="Resume though settings or data differ."),
            click.option(
                "--set", "changes", multiple=True, metavar="TABLE.KEY=VALUE", help="One setting; may be repeated."
            ),
            click.option("--config", type=EXISTING_FILE, help="TOML file; see `gristmill train settings --of ...`."),
            click.option("--output", type=FOLDER, required=True, help="Run directory; resumes if it has a checkpoint."),
            click.argument("files", nargs=-1, required=True, type=EXISTING_FILE, metavar=what),
            click.argument("run", type=EXISTING_RUN),
        ):
            command = option(command)
        return command

    return decorate


lora_option = click.option("--lora", is_flag=True, help="Train adapters (LoRA) beside the frozen weights.")


@train.command("sft", short_help="Fine-tune a model on conversations.")
@post_training_options("CONVERSATIONS...")
@lora_option
def sft_command(
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    allow_changes: bool,
) -> None:
    """Teach the model of RUN to answer, from files of CONVERSATIONS.

    Formats, told by their keys: messages, ShareGPT's conversations, Alpaca's instruction and output, Open-Assistant
    trees, tables (.tsv) of question, answer and reason. .jsonl, .json or .tsv, plain or with .gz. Only answers are
    learned. Run the same command again after a crash: it resumes from the last checkpoint.
    """
    from trainer.tasks.sft import SftSettings, open_conversations, sft
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    settings = read_settings(SftSettings, config, [*changes, *list_files("chat", files)], start, lora)
    inputs = open_conversations(settings, start)
    if is_main():
        click.echo(inputs.describe(), err=True)
    result = sft(inputs, start, output, allow_changes=allow_changes)
    if is_main():
        click.echo(
            f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} answer tokens, loss {result.loss:.4f}"
        )


@train.command("reward", short_help="Train a reward model on preferences.")
@post_training_options("PREFERENCES...")
@lora_option
def reward_command(
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    allow_changes: bool,
) -> None:
    """Teach a model to score answers, from files of PREFERENCES; it starts from the model of RUN.

    Formats, told by their keys: HH-RLHF's chosen and rejected dialogues, prompt with chosen and rejected answer, judged
    pairs (output_1, output_2, preference), ranked Open-Assistant trees. The held-out accuracy stands beside that of the
    answers' lengths alone.
    """
    from trainer.tasks.reward import RewardSettings, train_reward_model
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    given = [*changes, *list_files("pairs", files)]
    settings = read_settings(RewardSettings, config, given, start, lora, scalar_head=True)
    result = train_reward_model(settings, start, output, allow_changes=allow_changes)
    if is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} pairs, loss {result.loss:.4f}")


def _learn_preferences(
    kind: str,
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    allow_changes: bool,
) -> None:
    from trainer.tasks.kto import open_kto
    from trainer.tasks.launch import launch
    from trainer.tasks.preference import PreferenceSettings, open_dpo
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    given = [*changes, f"preference.kind={kind}", *list_files("pairs", files)]
    settings = read_settings(PreferenceSettings, config, given, start, lora)
    task, described = open_kto(settings, start) if kind == "kto" else open_dpo(settings, start)
    if is_main():
        click.echo(described, err=True)
    result = launch(task, output, allow_changes=allow_changes)
    if is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}, loss {result.loss:.4f}")


@train.command("dpo", short_help="Learn from preferences without a reward model.")
@post_training_options("PREFERENCES...")
@lora_option
def dpo_command(**options: Any) -> None:
    """Make the preferred answers of PREFERENCES more likely than the rejected ones (DPO), near the model of RUN.

    Formats as in `gristmill train reward`. RUN is best a model that was fine-tuned (sft) on such answers.
    """
    _learn_preferences("dpo", **options)


@train.command("kto", short_help="Learn from good and bad answers, one by one.")
@post_training_options("ANSWERS...")
@lora_option
def kto_command(**options: Any) -> None:
    """Make the good answers of ANSWERS likely and the bad ones unlikely (KTO), near the model of RUN.

    Items are answers that were rated one by one, {"prompt": text or messages, "completion": text or messages, "label":
    true or false}, or pairs in the formats of `gristmill train reward`, which give two answers each. Where one kind is
    rarer, its answers weigh more, unless preference.desirable_weight and preference.undesirable_weight are set.
    """
    _learn_preferences("kto", **options)


def _learn_from_rewards(
    algorithm: str,
    run: Path,
    files: tuple[Path, ...],
    output: Path,
    config: Path | None,
    changes: tuple[str, ...],
    lora: bool,
    reward: Path | None,
    mix: str | None,
    allow_changes: bool,
) -> None:
    from trainer.tasks.policy import learn_from_rewards
    from trainer.tasks.policy_settings import PolicySettings
    from trainer.tasks.rewards import open_policy_task
    from trainer.tasks.start_model import open_start

    check_run_folder(output)
    start = open_start(run)
    text = [] if mix is None else [f"data.sources={{web = {{path = {mix!r}}}}}"]
    given = [f"policy.algorithm={algorithm}", *text, *changes, *list_files("prompts", files)]
    task, report, shared = open_policy_task(read_settings(PolicySettings, config, given, start, lora), start, reward)
    if is_main():
        click.echo(f"{report.describe()}\n{len(task.prompts):,} prompts, {len(task.held_out):,} held out", err=True)
        if shared:
            click.echo(shared, err=True)
    result = learn_from_rewards(task, output, allow_changes=allow_changes)
    if is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}")


reward_option = click.option(
    "--reward", type=EXISTING_RUN, help="A reward model (gristmill train reward) that rewards the answers."
)

mix_option = click.option("--mix", metavar="DATASET", help="Curated dataset to learn from in every step (PPO-ptx).")


@train.command("grpo", short_help="Learn from rewards, comparing answers to a prompt.")
@post_training_options("PROMPTS...")
@lora_option
@reward_option
@mix_option
def grpo_command(**options: Any) -> None:
    """Let RUN's model answer PROMPTS several times, and make the answers that earn more than the others more likely.

    Items of PROMPTS have `prompt` or `messages`, and `verify` (number, text, f1, json, constraints) unless a reward
    model is named. `gristmill train make-tasks` writes such files. RLOO: --set policy.baseline=leave_one_out.
    """
    _learn_from_rewards("grpo", **options)


@train.command("ppo", short_help="Learn from rewards with a value model.")
@post_training_options("PROMPTS...")
@lora_option
@reward_option
@mix_option
def ppo_command(**options: Any) -> None:
    """Let RUN's model answer PROMPTS, and learn from their rewards token by token, with a value model (PPO).

    Items of PROMPTS as in `gristmill train grpo`. The value model starts from the reward model, or from RUN.
    """
    _learn_from_rewards("ppo", **options)


@train.command("best-of-n", short_help="Answer prompts by the best of n samples.")
@click.argument("run", type=EXISTING_RUN)
@click.argument("files", nargs=-1, required=True, type=EXISTING_FILE, metavar="PROMPTS...")
@reward_option
@click.option("--output", type=FILE, help="File for the best answers, as conversations for sft (rejection sampling).")
@click.option("--pairs", type=FILE, help="File for preferences: the best answer beside a worse one.")
@key_option("samples=16, max_new_tokens=256, limit=100, ...")
def best_of_n_command(
    run: Path,
    files: tuple[Path, ...],
    reward: Path | None,
    output: Path | None,
    pairs: Path | None,
    changes: tuple[str, ...],
) -> None:
    """Let RUN's model answer PROMPTS n times, and print the reward of the best answer for n = 1, 2, 4, ...

    kl is an upper bound of the divergence from the model that choosing costs. Items of PROMPTS as in `gristmill train
    grpo`; where they have verifiers and --reward is a model, `verified` is what its choices are worth. Prompts with
    an item of decontaminate.sets are left out, and those that the reward model was trained on are counted.
    """
    from trainer.chat.chat_template import ChatTemplate
    from trainer.config import read_config
    from trainer.files import check_output_files
    from trainer.tasks.best_of_n import BestOfSettings, best_of_n, describe_curve, write_best, write_pairs
    from trainer.tasks.rewards import VerifiedReward, open_prompts, open_reward
    from trainer.tasks.start_model import open_start
    from trainer.training.saved_model import load_decoder

    check_output_files([output, pairs], files)
    settings, start = read_config(BestOfSettings, None, changes), open_start(run)
    opened = open_prompts(
        files, start, reward, settings.decontaminate, settings.max_new_tokens, unshared=settings.unshared
    )
    prompts = opened.prompts[: settings.limit]
    if opened.report.skipped:
        click.echo(opened.report.describe(), err=True)
    if shared := opened.describe_shared({"the prompts": prompts}, "unshared"):
        click.echo(shared, err=True)
    template = ChatTemplate(start.tokenizer)
    model, rewards = load_decoder(run, pick_device()), open_reward(start, reward, template)
    gold = VerifiedReward(template) if reward and all(prompt.check for prompt in prompts) else None
    sampled = best_of_n(model, template, prompts, rewards.function, settings, gold)
    click.echo(describe_curve(sampled.curve()))
    if output is not None:
        write_best(output, sampled, template)
        click.echo(output)
    if pairs is not None:
        click.echo(f"{pairs}: {write_pairs(pairs, sampled, template):,} pairs")


retrieve_option = click.option(
    "--retrieve", type=FOLDER, help="Chunk database (gristmill train retrieve build) to read before answering."
)

passages_option = click.option(
    "--passages", type=click.IntRange(1, 100), default=3, show_default=True, help="With --retrieve: at most."
)


@train.command("chat", short_help="Talk with a model.")
@click.argument("run", type=EXISTING_RUN)
@click.option("--system", help="A message that says how to answer.")
@retrieve_option
@passages_option
@key_option("temperature=0.8, max_new_tokens=200, seed=1, ...")
def chat_command(run: Path, system: str | None, retrieve: Path | None, passages: int, changes: tuple[str, ...]) -> None:
    """Talk with RUN's model, which was fine-tuned on conversations. An empty line begins anew; Ctrl-D ends.

    Lines may come from a pipe: each is answered in turn. --retrieve puts the nearest passages of a database before each
    question, and shows where they come from.
    """
    from trainer.chat.chat_template import ChatTemplate
    from trainer.chat.conversation import Message
    from trainer.config import read_config
    from trainer.retrieval.chunk_database import open_database
    from trainer.rollouts.chat import Chat
    from trainer.rollouts.generate import GenerateSettings
    from trainer.rollouts.grounded_chat import GroundedChat, format_sources
    from trainer.tasks.start_model import open_start
    from trainer.training.saved_model import load_decoder

    settings, start = read_config(GenerateSettings, None, changes), open_start(run)
    database = None if retrieve is None else open_database(retrieve)
    first = [] if system is None else [Message("system", system)]
    chat = Chat(load_decoder(run, pick_device()), ChatTemplate(start.tokenizer), settings, [*first])
    asks = sys.stdin.isatty()
    while True:
        click.echo("> " if asks else "", nl=False)
        line = sys.stdin.readline()
        if not line:
            return
        if not line.strip():
            chat.messages = [*first]
            continue
        if database is None:
            chat.answer(line.strip(), _show_piece)
            click.echo()
            continue
        _, read = GroundedChat(chat, database, passages).answer(line.strip(), _show_piece)
        click.echo()
        click.echo(escape_controls(format_sources(read)))


def _show_piece(text: str) -> None:
    click.echo(escape_controls(text), nl=False)


@train.command("serve", short_help="Serve models: chat page, comparison, endpoint.")
@click.argument("run", type=EXISTING_RUN)
@click.argument("run2", type=EXISTING_RUN, required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=8322, show_default=True, help="On this machine; 0: any.")
@retrieve_option
@passages_option
@key_option("max_new_tokens=1024, max_waiting=8, temperature=0.8, ...")
def serve_command(
    run: Path, run2: Path | None, port: int, retrieve: Path | None, passages: int, changes: tuple[str, ...]
) -> None:
    """Serve RUN's model on this machine: a page to chat with it, and an OpenAI-compatible endpoint below /v1.

    With RUN2 also a blind comparison of both: two answers without names, a vote, and then the names. Votes are stored
    in RUN/battles.sqlite and exported for `arena`, and as preferences for `reward`, `dpo` and `kto`.

    --retrieve puts the nearest passages of a database before each question on the chat page and at
    /v1/chat/completions, whose answers name them in `sources`; the comparison and text completions read none.

    lm-evaluation-harness: lm_eval --model local-completions --model_args
    base_url=http://127.0.0.1:8322/v1/completions,model=NAME,tokenizer=EXPORTED,add_bos_token=True,max_length=CONTEXT
    """
    from trainer.config import read_config
    from trainer.retrieval.chunk_database import open_database
    from trainer.serving.passages import PassageReader
    from trainer.serving.server import ServeSettings, make_server, open_serving

    settings = read_config(ServeSettings, None, changes)
    reader = None if retrieve is None else PassageReader(open_database(retrieve), passages)
    serving = open_serving([path for path in (run, run2) if path is not None], settings, pick_device(), reader)
    server, address = make_server(serving, port)
    names = ", ".join(model.name for model in serving.models)
    click.echo(f"{names}: {address} in a browser, {address}v1 for programs (Ctrl-C ends it)")
    server.run()


@train.command("make-tasks", short_help="Write questions whose answers code can check.")
@click.argument(
    "kind", type=click.Choice(["sums", "sums-of-three", "differences", "larger", "copy", "reverse", "count"])
)
@click.option("--output", type=FILE, required=True, help="File of JSON lines, for sft and for grpo.")
@click.option("--count", type=click.IntRange(1), default=2000, show_default=True, help="Number of questions.")
@click.option("--size", type=click.IntRange(1, 9), default=1, show_default=True, help="Digits of numbers, or words.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed gives other questions.")
def make_tasks_command(kind: str, output: Path, count: int, size: int, seed: int) -> None:
    """Write questions of one KIND with their answers and verifiers, as many as you like."""
    import json

    from trainer.files import check_output_file, write_atomically
    from trainer.rollouts.generated_tasks import generate_tasks

    output.parent.mkdir(parents=True, exist_ok=True)
    check_output_file(output)
    lines = (json.dumps(item) + "\n" for item in generate_tasks(kind, count, size, seed))
    write_atomically(output, "".join(lines))
    click.echo(output)


def list_files(table: str, files: tuple[Path, ...]) -> list[str]:
    """The change that sets the files of a table."""
    return [f"{table}.files=[{', '.join(repr(str(path)) for path in files)}]"]


def read_settings(
    kind: Any, config: Path | None, changes: list[str], start: Any, lora: bool, *, scalar_head: bool = False
) -> Any:
    """Settings of a post-training command, with the model and the tokenizer of its start."""
    from trainer.config import read_config
    from trainer.model.lora import LoraSettings
    from trainer.tasks.start_model import adapted

    given = read_config(kind, None if config is None else str(config), changes)
    adapters = given.model.lora or (LoraSettings() if lora else None)
    model = adapted(start.settings, adapters, scalar_head=scalar_head)
    return given.model_copy(update={"model": model, "tokenizer": start.path / "tokenizer.json"})
