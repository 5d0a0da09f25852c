"""Which of Beam's job servers Maven can assemble here; noted in deploy/job_servers.json, for the table of engines.

python -m tests.deploy.job_servers 2.62.0 2.70.0 2.77.0
python -m tests.deploy.engine_table
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pipeline.engines.job_server import FLINK, SPARK, JobServer, assemble_by_maven
from pipeline.engines.options import EngineError
from tests.conftest import ROOT

NOTES = ROOT / "deploy/job_servers.json"


class Trial(NamedTuple):
    """One server of one version of Beam."""

    artifact: str
    beam: str
    missing: str  # the first part that Maven did not find; empty if it has all
    date: str


def try_server(server: JobServer, beam: str) -> Trial:
    """Fetch all of its parts into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            assemble_by_maven(server, beam, Path(folder) / "jars")
            missing = ""
        except EngineError as error:
            parts = re.findall(r"(?!gristmill)\b[\w.]+:([\w.-]+):jar:", str(error))  # its own project is named first
            missing = parts[0] if parts else str(error)
    return Trial(server.artifact, beam, missing, date.today().isoformat())


def describe(trials: Sequence[Trial]) -> str:
    """One sentence for each server."""
    found = []
    for artifact in dict.fromkeys(trial.artifact for trial in trials):
        tried = [trial for trial in trials if trial.artifact == artifact]
        ends = [f"{trial.beam} {f'lacks `{trial.missing}`' if trial.missing else 'is whole'}" for trial in tried]
        found.append(f"`{artifact}`, tried on {max(trial.date for trial in tried)}: {', '.join(ends)}")
    return "; ".join(found)


def read_trials() -> list[Trial]:
    """Those that are noted."""
    return [Trial(**row) for row in json.loads(NOTES.read_text(encoding="utf-8"))]


def main(versions: Sequence[str]) -> None:
    trials = []
    for server in (SPARK, FLINK):
        for beam in versions:
            trials.append(try_server(server, beam))
            print(describe(trials[-1:]), flush=True)
    NOTES.write_text(json.dumps([trial._asdict() for trial in trials], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
