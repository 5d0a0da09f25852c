"""`gristmill train`: importing this module registers the commands of trainer/commands on the group `train`."""

from __future__ import annotations

from trainer.commands import data, evaluation, settings, studies, training
from trainer.commands.group import train

__all__ = ["data", "evaluation", "settings", "studies", "train", "training"]
