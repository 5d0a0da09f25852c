"""What a run's folder says of how it was made and how it ended, so that it can be judged and repeated later.

    RUN/experiment.json   the command with its arguments, hashes of the data and of the models it began with, and for
                          each start the code and the environment; its arguments are those that `rerun` needs, with
                          all paths and passwords, so that it is not for publication
    RUN/tokenizer.json    the tokenizer, also of a run that fails before its first checkpoint, which holds a copy that
                          is read when the run resumes or is used
    RUN/outcome.json      how it ended, with a verdict of one line; absent while it runs, or after a kill
    RUN/verdict.txt       the user's own line, where there is one
    RUN/training.lock     held by the process that trains; the host and number of the last one

Settings and workload are in run.json, the numbers of every step in metrics.jsonl.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from trainer.data.curated_dataset import open_dataset
from trainer.data.sources import SourceSettings
from trainer.data.tokenizer import TOKENIZER_FILE
from trainer.errors import TrainingStoppedError, UserError
from trainer.files import EXPERIMENT_FILE, is_run, sha256_of_file, write_atomically
from trainer.reports.verdict import derive_verdict
from trainer.settings import Settings
from trainer.training.checkpoint import find_checkpoint, list_checkpoints, read_state
from trainer.training.command_line import without_secrets
from trainer.training.metrics import read_metrics

OUTCOME_FILE = "outcome.json"
VERDICT_FILE = "verdict.txt"
REPEATS = "trainer.repeats"  # key of a click context's meta: the folder of the run that a command repeats
LIBRARIES = ("numpy", "pyarrow", "safetensors", "tokenizers", "torch")
ROOT = Path(__file__).parents[1]  # the package

Row = dict[str, Any]


@contextlib.contextmanager
def record_run(out: Path, settings: Settings, texts: Mapping[str, str]) -> Iterator[None]:
    """Write experiment.json and the task's texts before the block, and outcome.json after it, also where it fails."""
    out.mkdir(parents=True, exist_ok=True)
    begins = not list_checkpoints(out / "checkpoints")
    _write_experiment(out, settings, begins=begins)
    for name, text in texts.items() if begins else ():
        write_atomically(out / name, text)
    (out / OUTCOME_FILE).unlink(missing_ok=True)
    try:
        yield
    except BaseException as error:
        _write_outcome(out, *_explain_end(error))
        raise
    _write_outcome(out, "finished", None)


def _write_experiment(out: Path, settings: Settings, *, begins: bool) -> None:
    """Describe the start at step 0, which another may precede that failed; every start adds code and environment."""
    start = {"time": time.time(), "code": describe_code(), "environment": describe_environment()}
    record = read_json_object(out / EXPERIMENT_FILE)
    if begins or not record:
        record |= {**_describe_command(out), "inputs": hash_inputs(settings)}
    record["starts"] = [*record.get("starts", []), start]
    write_atomically(out / EXPERIMENT_FILE, json.dumps(record, indent=1) + "\n")


def _describe_command(out: Path) -> Row:
    """The command that trains this run with its arguments, and the models that it begins with; empty for a function."""
    context = click.get_current_context(silent=True)
    command, arguments = (None, {}) if context is None else (context.info_name, context.params)
    if context is None or arguments.get("output") is None or arguments["output"].resolve() != out.resolve():
        return {"command": None, "arguments": {}, "models": {}, "repeats": None}  # or one of a study's runs
    models = {
        name: {"path": str(value.resolve()), **_describe_model(value)}
        for name, value in arguments.items()
        if name != "output" and isinstance(value, Path) and _is_model(value)
    }
    return {
        "command": command,
        "arguments": {name: _to_plain(name, value) for name, value in arguments.items()},
        "folder": str(Path.cwd()),
        "config": _read_config_text(arguments.get("config")),
        "models": models,
        "repeats": context.meta.get(REPEATS),
    }


def _is_model(path: Path) -> bool:
    return is_run(path) or (path / "state.json").is_file()


def _describe_model(path: Path) -> Row:
    found = find_checkpoint(path)
    return {"checkpoint": str(found.resolve()), "digest": read_state(found).model_digest}


def _to_plain(name: str, value: Any) -> Any:
    """An argument as JSON; paths are absolute."""
    if isinstance(value, tuple):
        return [_to_plain(name, part) for part in value]
    if isinstance(value, Path) or (name in ("config", "data", "mix") and value is not None and Path(value).exists()):
        return str(Path(value).absolute())
    return value


def _read_config_text(config: str | Path | None) -> str | None:
    """The settings file that the command names, which may change later."""
    is_file = config is not None and str(config).endswith(".toml") and Path(config).is_file()
    return Path(config).read_text("utf-8") if is_file and config is not None else None


def hash_inputs(settings: Settings) -> dict[str, str]:
    """{what: hash} of every dataset (its manifest's content hash) and file (SHA-256) that the settings name.

    Addresses are without passwords and signatures.
    """
    found: dict[str, str] = {}
    for name in type(settings).model_fields:
        for place, value in _spread(name, getattr(settings, name)):
            if isinstance(value, SourceSettings):
                with contextlib.suppress(UserError):  # a dataset that has moved since it was tokenized
                    found[f"{place} {without_secrets(value.path)}"] = open_dataset(value.path).content_hash
            if isinstance(value, Settings):
                found |= {f"{place}.{inner}": digest for inner, digest in hash_inputs(value).items()}
            elif name == "tokenizer":
                path = value / TOKENIZER_FILE if value.is_dir() else value
                found |= {"tokenizer": sha256_of_file(path)} if path.is_file() else {}
            elif isinstance(value, Path) and (value / "database.json").is_file():
                found[f"{place} {value.absolute()}"] = sha256_of_file(value / "database.json")
            elif isinstance(value, Path) and value.is_file():
                found[f"{place} {value.absolute()}"] = sha256_of_file(value)
    return found


def _spread(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The value, or the elements of a list or a table."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield f"{name}.{key}", part
    else:
        yield from ((name, part) for part in (value if isinstance(value, (tuple, list)) else [value]))


@functools.cache
def describe_code() -> dict[str, str]:
    """Version of the package, hash of its sources, and the commit of its checkout if it lies in one."""
    digest = hashlib.sha256()
    for path in sorted(ROOT.rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    found = {"version": _installed_version(), "sources": digest.hexdigest()[:16]}
    commit = _ask_git("rev-parse", "HEAD")
    if commit:
        changed = "+changes" if _ask_git("status", "--porcelain", "--", str(ROOT)) else ""
        found["commit"] = f"{commit[:12]}{changed}"
    return found


def _installed_version() -> str:
    """That of the package; a checkout runs without being installed."""
    try:
        return importlib.metadata.version("gristmill")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _ask_git(*arguments: str) -> str:
    """The output of git in the package's folder; empty where there is no git or no checkout."""
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            ["git", "-C", str(ROOT), *arguments],  # noqa: S607 - git of the user's own path
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def describe_environment() -> dict[str, str]:
    """Interpreter, machine and versions of what computes."""
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    threads = {name: value for name, value in os.environ.items() if name in ("OMP_NUM_THREADS", "WORLD_SIZE")}
    machine = {"python": platform.python_version(), "platform": platform.platform(), "cores": str(os.cpu_count())}
    return machine | libraries | threads


def _explain_end(error: BaseException) -> tuple[str, str]:
    """(status, one line) of a run that did not finish; without passwords, because reports are published."""
    if isinstance(error, TrainingStoppedError):
        return "stopped", error.message
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "stopped by Ctrl-C"
    text = error.message if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return "failed", " ".join(map(without_secrets, text.split()))[:500]


def _write_outcome(out: Path, status: str, error: str | None) -> None:
    rows = read_metrics(out)
    last = rows[-1] if rows else {}
    numbers = {name: last[name] for name in ("step", "tokens", "loss", "validation") if last.get(name) is not None}
    seconds = sum(row["seconds"] for row in rows)
    verdict = derive_verdict(rows) if error is None else f"{status}: {error}"
    outcome = {"status": status, "verdict": verdict, "ended": time.time(), "seconds": seconds, **numbers}
    with contextlib.suppress(OSError):  # a full disk has ended the run, and its error is raised
        write_atomically(out / OUTCOME_FILE, json.dumps(outcome, indent=1) + "\n")


def write_verdict(run: Path, text: str) -> None:
    """Put the user's line in place of the derived verdict; an empty one takes it back."""
    line = " ".join(text.split())
    if line:
        write_atomically(run / VERDICT_FILE, line + "\n")
    else:
        (run / VERDICT_FILE).unlink(missing_ok=True)


def read_json_object(path: Path) -> Row:
    """The object in a JSON file; empty where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
