"""`gristmill train`: importing this module registers the commands of trainer/commands on the group `train`."""

from __future__ import annotations

from trainer.commands import (
    assistant_commands,
    comparison_commands,
    data_commands,
    evaluation_commands,
    experiment_commands,
    generator_commands,
    retrieval_commands,
    settings_commands,
    studies_commands,
    training_commands,
)
from trainer.commands.group import train

__all__ = [
    "assistant_commands",
    "comparison_commands",
    "data_commands",
    "evaluation_commands",
    "experiment_commands",
    "generator_commands",
    "retrieval_commands",
    "settings_commands",
    "studies_commands",
    "train",
    "training_commands",
]
