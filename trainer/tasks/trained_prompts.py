"""Which prompts a run has learned from: to find those that reward training, PPO and evaluation share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.chat.chat_batches import is_held_out
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import prompt_key
from trainer.chat.read_conversations import ReadReport, read_conversations
from trainer.chat.read_preferences import read_preferences, read_rated_answers
from trainer.errors import UserError
from trainer.files import EXPERIMENT_FILE
from trainer.reports.run_record import read_json_object
from trainer.rollouts.prompts import read_prompts
from trainer.tasks.pretrain_settings import read_run_state
from trainer.tasks.start_model import open_start

STARTS = ("run", "start")  # arguments that name the model whose weights a command begins with


def read_trained_prompts(run: Path) -> set[str]:
    """The keys (`prompt_key`) of the prompts that a run itself was trained on; none for a pretraining run.

    Read again from the files that the run's settings name. Raises UserError where one is gone.
    """
    settings = read_run_state(run).settings
    found: set[str] = set()
    rated = settings.get("preference", {}).get("kind") == "kto"
    for table in ("chat", "pairs", "prompts"):
        if table in settings:
            keys = _read_keys(run, table, settings[table], rated=rated)
            found |= {key for key in keys if not _is_out(key, settings[table])}
    return found


def find_starts(run: Path, log: Callable[[str], None]) -> list[Path]:
    """The runs and checkpoints whose weights a run has: the one that it started from, that one's start, and so on.

    `log` gets a line where one is gone.
    """
    found: list[Path] = []
    while (start := _read_start(found[-1] if found else run)) is not None and start not in found:
        if not start.is_dir():
            log(f"not checked whether {run} was trained on the same prompts before: its start, {start}, is gone")
            break
        found.append(start)
    return found


def _read_start(run: Path) -> Path | None:
    """What the command of a run or checkpoint started from, as its folder says; None where that says nothing."""
    folder = next((path for path in (run, *run.resolve().parents[:2]) if (path / EXPERIMENT_FILE).is_file()), run)
    models = read_json_object(folder / EXPERIMENT_FILE).get("models", {})
    start = next((Path(models[name]["path"]) for name in STARTS if name in models), None)
    if start is not None and not start.is_dir() and start.parent.name == "checkpoints":
        return start.parents[1]  # the run, of which this checkpoint was not kept
    return start


def _is_out(key: str, settings: Mapping[str, Any]) -> bool:
    return is_held_out(key, settings["held_out"])


def _read_keys(run: Path, table: str, settings: Mapping[str, Any], *, rated: bool) -> set[str]:
    paths, report = [Path(file) for file in settings["files"]], ReadReport()
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"{missing[0]}: {run} was trained on this file and it is gone; put it back to compare prompts")
    if table == "chat":
        return {prompt_key(item.prompt) for item in read_conversations(paths, report)}
    if table == "pairs" and rated:
        return {prompt_key(item.prompt) for item in read_rated_answers(paths, report)}
    if table == "pairs":
        return {prompt_key(item.prompt) for item in read_preferences(paths, report)}
    template = ChatTemplate(open_start(run).tokenizer)
    return {item.key for item in read_prompts(paths, template, report)}
