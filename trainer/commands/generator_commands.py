"""Commands that ask a model, a run's or an endpoint's: judge, self-instruct."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trainer.commands.group import EXISTING_FILE, FILE, key_option, pick_device, train

_SOURCE = "RUN|URL"


@train.command("judge", short_help="Label pairs of answers by a model that judges.")
@click.argument("files", nargs=-1, required=True, type=EXISTING_FILE, metavar="PAIRS...")
@click.option("--judge", "source", required=True, metavar=_SOURCE, help="A run, or an endpoint: http://host:port/v1.")
@click.option(
    "--output", type=FILE, required=True, help="File of preferences (JSON lines); the same command resumes it."
)
@key_option("repeats=3, temperature=1, endpoint.model=NAME, endpoint.api_key_variable=VARIABLE, ...")
def judge_command(files: tuple[Path, ...], source: str, output: Path, changes: tuple[str, ...]) -> None:
    """Let a model say which of two answers is better, for PAIRS of every format of `gristmill train reward`.

    Each pair is asked in both orders; where the verdicts disagree it is a tie. Printed are the agreement with the
    labels of PAIRS and Cohen's kappa, how often the order decided, the variance over repeats, and the cost of 1,000
    pairs. Pairs without a label: instruction, output_1 and output_2 alone.
    """
    from tqdm import tqdm

    from trainer.chat.read_conversations import ReadReport
    from trainer.config import read_config
    from trainer.evaluation.judge import Judge, JudgeSettings, describe_judgments, pairs_digest, read_pairs
    from trainer.rollouts.journal import Journal
    from trainer.tasks.open_generator import open_generator

    settings, report = read_config(JudgeSettings, None, changes), ReadReport()
    pairs = read_pairs(files, report)[: settings.limit]
    click.echo(report.describe(), err=True)
    generator = open_generator(source, settings.endpoint, pick_device())
    asked = settings.model_dump(mode="json", exclude={"endpoint", "batch_size", "limit"})
    fingerprint = {"judge": generator.name, **asked, "pairs": pairs_digest(pairs)}
    judge = Judge(generator, settings, Journal(output, fingerprint, files))
    with tqdm(total=len(pairs), desc="judge", disable=None if sys.stderr.isatty() else True) as bar:
        judgments = judge.judge(pairs, bar.update)
    click.echo(describe_judgments(judgments))
    if judge.without_verdict:
        click.echo(f"{judge.without_verdict:,} pairs without a verdict are left out")
    click.echo(judge.usage.describe(len(judgments), "pairs", settings.endpoint.prices))


@train.command("self-instruct", short_help="Write new tasks from a few seed tasks.")
@click.argument("seeds", nargs=-1, required=True, type=EXISTING_FILE, metavar="SEEDS...")
@click.option(
    "--generator", "source", required=True, metavar=_SOURCE, help="A run, or an endpoint: http://host:port/v1."
)
@click.option(
    "--output", type=FILE, required=True, help="File of tasks for sft (JSON lines); the same command resumes it."
)
@key_option("count=1000, novelty=0.7, endpoint.model=NAME, endpoint.api_key_variable=VARIABLE, ...")
def self_instruct_command(seeds: tuple[Path, ...], source: str, output: Path, changes: tuple[str, ...]) -> None:
    """Let a model write tasks with instances, from SEEDS written by people (Self-Instruct).

    Items of SEEDS have instruction, instances (input, output) and is_classification. A task is kept if its ROUGE-L with
    every task before it is below `novelty`, and if it passes the paper's filters. Printed are the dropped tasks by
    reason, and the cost of 1,000 tasks.
    """
    from tqdm import tqdm

    from trainer.chat.read_conversations import ReadReport
    from trainer.config import read_config
    from trainer.rollouts.journal import Journal
    from trainer.tasks.open_generator import open_generator
    from trainer.tasks.self_instruct import SelfInstruct, SelfInstructSettings, read_seeds, seeds_digest

    settings, report = read_config(SelfInstructSettings, None, changes), ReadReport()
    tasks = read_seeds(seeds, report)
    click.echo(report.describe(), err=True)
    generator = open_generator(source, settings.endpoint, pick_device())
    asked = settings.model_dump(mode="json", exclude={"endpoint", "count", "empty_rounds"})
    fingerprint = {"generator": generator.name, **asked, "seeds": seeds_digest(tasks)}
    made = SelfInstruct(tasks, generator, settings, Journal(output, fingerprint, seeds))
    with tqdm(total=settings.count, desc="self-instruct", disable=None if sys.stderr.isatty() else True) as bar:
        made.run(bar.update)
    click.echo(made.describe())
