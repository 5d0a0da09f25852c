"""Runs as experiments: found in folders, filtered by any setting or result, and compared with each other."""

from __future__ import annotations

import json
import math
import operator
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from trainer.config import parse_toml
from trainer.errors import UserError
from trainer.files import EXPERIMENT_FILE, is_run
from trainer.reports.run_record import OUTCOME_FILE, VERDICT_FILE, read_json_object
from trainer.reports.verdict import derive_verdict
from trainer.settings import did_you_mean
from trainer.training.checkpoint import CheckpointError, find_checkpoint, read_state
from trainer.training.metrics import read_metrics

FOLDERS = 100_000  # most folders that are looked at; a larger tree is refused
# Settings that say where a run read and wrote, not what it computed: hashes of the inputs are compared instead.
PLACES = re.compile(r"tokenizer|.*\.(path|cache|files|exclude)")
_CONDITION = re.compile(r"\s*([\w.-]+)\s*(!=|>=|<=|=|<|>|~)\s*(.*?)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda found, wanted: str(wanted).lower() in str(found).lower(),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A run's folder, read."""

    folder: Path
    facts: Row  # task, status, verdict, started, step, steps, tokens, loss, validation.loss, ...
    settings: Row  # by their path: loop.steps
    inputs: dict[str, str]  # hashes of data and models
    origin: dict[str, str]  # code and environment of the last start

    def look_up(self, key: str) -> Any:
        """A fact or a setting by its name; raises KeyError where the run has none."""
        return self.facts[key] if key in self.facts else self.settings[key]

    def to_json(self) -> Row:
        """Everything as JSON."""
        return {
            "run": str(self.folder),
            **self.facts,
            "settings": self.settings,
            "inputs": self.inputs,
            "origin": self.origin,
        }


class RunCondition(NamedTuple):
    """What a run has to fulfil to be listed."""

    key: str
    operator: str
    value: Any

    def holds(self, run: Experiment) -> bool:
        """False also where the run has no such value, or one of another type."""
        try:
            return bool(_OPERATORS[self.operator](run.look_up(self.key), self.value))
        except (KeyError, TypeError):
            return False


def find_experiments(folders: Sequence[Path]) -> list[Experiment]:
    """The runs at or below some folders, in the order of their start. A run's own folders are not looked into."""
    found = {path.resolve(): path for folder in folders for path in _walk(folder)}
    runs = [read_experiment(path) for path in found.values()]
    return sorted(runs, key=lambda run: (run.facts["started"] or 0.0, str(run.folder)))


def _walk(folder: Path) -> Iterator[Path]:
    for count, (name, folders, _) in enumerate(os.walk(folder)):
        if count == FOLDERS:
            raise UserError(f"{folder}: holds over {FOLDERS:,} folders; name one nearer to the runs")
        if is_run(Path(name)):
            folders.clear()
            yield Path(name)
        folders[:] = sorted(part for part in folders if not part.startswith("."))


def read_experiment(folder: Path) -> Experiment:
    """A run's folder, also one that never came to its first step, or that was imported."""
    record, info = read_json_object(folder / EXPERIMENT_FILE), read_json_object(folder / "run.json")
    outcome, rows = read_json_object(folder / OUTCOME_FILE), read_metrics(folder)
    settings = info.get("settings") or _stored_settings(folder)
    start = (record.get("starts") or [{}])[-1]
    last = rows[-1] if rows else {}
    steps = settings.get("loop", {}).get("steps")
    status = outcome.get("status") or ("finished" if last.get("step") == steps is not None else "unfinished")
    if not info and not record:
        status = "imported"
    facts: Row = {
        "name": folder.name or str(folder.resolve().name),
        "task": record.get("command") or _guess_task(settings),
        "status": status,
        "verdict": _read_verdict(folder) or outcome.get("verdict") or _describe_unfinished(status, rows, steps),
        "started": (record.get("starts") or [{}])[0].get("time") or info.get("started"),
        "seconds": sum(row["seconds"] for row in rows),
        "parameters": info.get("parameters"),
        "step": last.get("step", 0),
        "steps": steps,
        "tokens": last.get("tokens"),
        "loss": last.get("loss"),
        "repeats": record.get("repeats"),
    }
    validation: Row = next((row["validation"] for row in reversed(rows) if "validation" in row), {})
    facts |= {f"validation.{name}": value for name, value in validation.items() if isinstance(value, (int, float))}
    models = {f"model {name}": model["digest"] for name, model in record.get("models", {}).items()}
    inputs = {**record.get("inputs", {}), **models} or ({"data": info["data"]} if "data" in info else {})
    origin = {f"code.{name}": value for name, value in start.get("code", {}).items()} | start.get("environment", {})
    return Experiment(folder, facts, flatten(settings), inputs, origin)


def _stored_settings(folder: Path) -> Row:
    try:
        return read_state(find_checkpoint(folder)).settings
    except CheckpointError:
        return {}


def _guess_task(settings: Row) -> str:
    """What a run without a record learned, by its tables."""
    for table, task in (("policy", "ppo or grpo"), ("preference", "dpo or kto"), ("pairs", "reward"), ("chat", "sft")):
        if table in settings:
            return task
    return "anneal" if "anneal" in settings else "pretrain"


def _read_verdict(folder: Path) -> str:
    path = folder / VERDICT_FILE
    return path.read_text("utf-8").strip() if path.is_file() else ""


def _describe_unfinished(status: str, rows: Sequence[Row], steps: int | None) -> str:
    if status in ("finished", "imported"):
        return derive_verdict(rows) if rows else status
    return f"running or killed at step {rows[-1]['step'] if rows else 0:,} of {steps or 0:,}"


def flatten(values: Any, path: str = "") -> Row:
    """Nested tables as one, its keys the paths: {"loop": {"steps": 9}} -> {"loop.steps": 9}.

    >>> flatten({"loop": {"steps": 9}, "experts": None})
    {'loop.steps': 9, 'experts': None}
    """
    if not isinstance(values, dict) or (path and not values):
        return {path: values} if path else {}
    found: Row = {}
    for name, value in values.items():
        found |= flatten(value, f"{path}.{name}" if path else str(name))
    return found


def parse_condition(text: str) -> RunCondition:
    """`loss<3`, `task=sft`, `loop.steps>=100`, `verdict~worse` (contains); values are TOML or plain text.

    >>> parse_condition("loop.steps >= 100")
    RunCondition(key='loop.steps', operator='>=', value=100)
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UserError(f"--where {text}: expected KEY=VALUE, with one of {' '.join(_OPERATORS)} between them")
    key, sign, value = match.groups()
    try:
        return RunCondition(key, sign, parse_toml(f"value = {value}")["value"])
    except ValueError:
        return RunCondition(key, sign, value)


def select_runs(runs: Sequence[Experiment], conditions: Sequence[RunCondition]) -> list[Experiment]:
    """The runs that fulfil every condition; raises UserError for a key that no run has."""
    known = {key for run in runs for key in (*run.facts, *run.settings)}
    for condition in conditions:
        if runs and condition.key not in known:
            raise UserError(f"--where {condition.key}: no run has it{did_you_mean(condition.key, known)}")
    return [run for run in runs if all(condition.holds(run) for condition in conditions)]


class RunDifference(NamedTuple):
    """A value that is not the same in all compared runs; None where a run has none."""

    kind: str  # setting, input, origin or outcome
    key: str
    values: list[Any]


def compare_runs(runs: Sequence[Experiment]) -> list[RunDifference]:
    """Settings, inputs, code and environment that differ, then the outcomes, which are shown always."""
    found = []
    for kind, tables in (
        ("setting", [_comparable(run.settings) for run in runs]),
        ("input", [run.inputs for run in runs]),
        ("origin", [run.origin for run in runs]),
    ):
        for key in dict.fromkeys(key for table in tables for key in table):
            values = [table.get(key) for table in tables]
            if any(value != values[0] for value in values):
                found.append(RunDifference(kind, key, values))
    keys = dict.fromkeys(key for run in runs for key in run.facts if key in OUTCOMES or key.startswith("validation."))
    return [*found, *(RunDifference("outcome", key, [run.facts.get(key) for run in runs]) for key in keys)]


OUTCOMES = ("status", "step", "tokens", "loss", "seconds", "verdict")


def _comparable(settings: Row) -> Row:
    return {key: value for key, value in settings.items() if not PLACES.fullmatch(key)}


def format_runs(runs: Sequence[Experiment]) -> str:
    """A table for a terminal, a line for each run."""
    rows = [("run", "task", "started", "steps", "loss", "verdict")]
    for run in runs:
        facts = run.facts
        started = datetime.fromtimestamp(facts["started"], UTC).strftime("%Y-%m-%d %H:%M") if facts["started"] else ""
        steps = f"{facts['step']:,}/{facts['steps']:,}" if facts["steps"] else f"{facts['step']:,}"
        rows.append((str(run.folder), facts["task"], started, steps, format_value(facts["loss"]), facts["verdict"]))
    return format_table(rows)


def format_comparison(runs: Sequence[Experiment], differences: Sequence[RunDifference]) -> str:
    """A table for a terminal, a column for each run."""
    rows = [("", "", *(str(run.folder) for run in runs))]
    rows += [(part.kind, part.key, *map(format_value, part.values)) for part in differences]
    return format_table(rows)


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the last one is not padded."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def format_value(value: Any) -> str:
    """A setting or a result in a cell: numbers with four digits, hashes cut."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return f"{value[:12]}..." if re.fullmatch(r"[0-9a-f-]{24,}", value) else " ".join(value.split())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)
