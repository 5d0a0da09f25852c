"""`gristmill train settings`: every setting of a command as TOML, with its meaning."""

from __future__ import annotations

import importlib

import click

from trainer.commands.group import table_option, train

CLASSES = {  # command: module and class of its settings
    "pretrain": ("trainer.tasks.pretrain_settings", "PretrainSettings"),
    "anneal": ("trainer.tasks.anneal", "AnnealSettings"),
    "sft": ("trainer.tasks.sft", "SftSettings"),
    "reward": ("trainer.tasks.reward", "RewardSettings"),
    "dpo": ("trainer.tasks.preference", "PreferenceSettings"),
    "kto": ("trainer.tasks.preference", "PreferenceSettings"),
    "grpo": ("trainer.tasks.policy_settings", "PolicySettings"),
    "ppo": ("trainer.tasks.policy_settings", "PolicySettings"),
    "best-of-n": ("trainer.tasks.best_of_n", "BestOfSettings"),
    "self-instruct": ("trainer.tasks.self_instruct", "SelfInstructSettings"),
    "judge": ("trainer.evaluation.judge", "JudgeSettings"),
    "serve": ("trainer.serving.server", "ServeSettings"),
    "compare-assistants": ("trainer.studies.assistants", "ComparisonSettings"),
    "generate": ("trainer.rollouts.generate", "GenerateSettings"),
    "retrieve": ("trainer.retrieval.chunk_database", "ChunkSettings"),
    "tokenizer": ("trainer.data.tokenizer", "TokenizerSettings"),
    "eval": ("trainer.evaluation.harness", "EvaluationSettings"),
    "contamination": ("trainer.contamination.ngram_index", "ContaminationSettings"),
    "depth": ("trainer.tasks.depth", "DepthSettings"),
    "dial": ("trainer.studies.dial", "DialSettings"),
    "task-scaling": ("trainer.studies.task_scaling", "TaskScalingSettings"),
    "ladder": ("trainer.studies.ladder", "LadderSettings"),
    "mixture-search": ("trainer.studies.mixture_search", "MixtureSearchSettings"),
    "cost": ("trainer.studies.cost", "CostSettings"),
    "cluster": ("trainer.studies.mesh_cost", "ClusterSettings"),
}


@train.command("settings", short_help="Print every setting with its meaning.")
@click.argument("config", required=False)
@click.option(
    "--of",
    "command",
    type=click.Choice(list(CLASSES)),
    default="pretrain",
    show_default=True,
    help="Command to print the settings of.",
)
@table_option
def settings_command(config: str | None, command: str, changes: tuple[str, ...]) -> None:
    """Print every setting as TOML with its description, unit and default.

    The values are those of CONFIG, a TOML file or a preset's name (for pretrain also a run's folder), else the
    defaults. `pretrain` and `anneal --config` read the output back.
    """
    from pathlib import Path

    from trainer.config import read_config, to_toml

    if command == "pretrain" and config is not None and Path(config).is_dir():
        from trainer.tasks.pretrain_settings import read_pretrain_settings

        click.echo(to_toml(read_pretrain_settings(config, changes)), nl=False)
        return
    module, name = CLASSES[command]
    click.echo(to_toml(read_config(getattr(importlib.import_module(module), name), config, changes)), nl=False)
