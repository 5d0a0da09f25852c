"""`gristmill train`: gathers the commands of trainer/commands, which register themselves on the group `train`."""

from __future__ import annotations

from trainer.commands import data, evaluation, studies, training
from trainer.commands.group import train

__all__ = ["data", "evaluation", "studies", "train", "training"]
