"""How Spark and Flink get Python workers on their nodes (`--environment`).

loopback            this process serves them: only for a cluster on this machine
process[=COMMAND]   each executor starts COMMAND (default: gristmill-worker of this virtual environment)
external=HOST:PORT  a worker pool that runs beside each executor, for example a side-car container
docker=IMAGE        each executor starts containers of IMAGE
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from pipeline import effects
from pipeline.engines.options import EngineError

_BEAM_NAMES = {"loopback": "LOOPBACK", "process": "PROCESS", "external": "EXTERNAL", "docker": "DOCKER"}


def environment_options(environment: str) -> tuple[str, ...]:
    """Beam's options for a value of `--environment`. Raises EngineError for a value that cannot be used."""
    kind, _, value = environment.partition("=")
    if kind not in _BEAM_NAMES:
        raise EngineError(f"--environment {environment}: expected one of {', '.join(_BEAM_NAMES)}")
    if kind in ("external", "docker") and not value:
        expected = "HOST:PORT" if kind == "external" else "IMAGE"
        raise EngineError(f"--environment {kind} needs a value: {kind}={expected}")
    if kind == "process":
        value = json.dumps({"command": value or find_worker_command()})
    config = (f"--environment_config={value}",) if value else ()
    return (f"--environment_type={_BEAM_NAMES[kind]}", *config)


def find_worker_command() -> str:
    """The path of `gristmill-worker` in this virtual environment; other nodes must have it at the same path."""
    beside = Path(sys.executable).parent / "gristmill-worker"
    command = str(beside) if effects.exists(str(beside)) else shutil.which("gristmill-worker")
    if command is None:
        raise EngineError(
            "--environment process: gristmill-worker is not installed; name it with process=/PATH/gristmill-worker"
        )
    return command
