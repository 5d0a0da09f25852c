"""Google Dataflow: the options that a run needs, and the defaults that this package adds.

Options of Beam are given with `--beam NAME=VALUE`, under Beam's own names. Added to them are:

- one harness thread: each unit runs in a killable child process with its own models, and Dataflow starts one Python
  process per core; with Beam's default of twelve threads a worker would need twelve times the memory;
- the shuffle service: shuffled data is not stored on the workers, so a lost worker loses only its current units;
- `use_runner_v2` and the container image: workers run the versions locked in deploy/Dockerfile and install nothing.

A launch of a flex template builds one job, and a run consists of four, each of which needs the results of the previous
one. So a launch builds the first job that is not done and ends with `SubmittedError`; deploy/README.md describes how to
launch the others.
"""

from __future__ import annotations

import re

from pipeline.engines.options import EngineError

DEFAULTS = (
    "--number_of_worker_harness_threads=1",
    "--experiments=use_runner_v2",
    "--experiments=shuffle_mode=service",
    "--no_use_public_ips",
    "--no_save_main_session",  # functions are pickled by name: workers have the same packages
)
REQUIRED = {
    "project": "the Google Cloud project to bill",
    "region": "where the workers run, e.g. us-central1",
    "temp_location": "a gs:// folder for Beam's temporary files",
    "sdk_container_image": "the worker's image, built from deploy/Dockerfile",
}
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_FOLDER = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/.+")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")


def dataflow_options(extra: tuple[str, ...]) -> tuple[str, ...]:
    """Beam's options for Dataflow. Raises EngineError for an option that is missing or malformed."""
    given = {name.removeprefix("--"): value for name, _, value in (each.partition("=") for each in extra)}
    for name, what in REQUIRED.items():
        if not given.get(name):
            raise EngineError(f"--engine dataflow needs --beam {name}=... ({what})")
    _check(given, "project", _PROJECT, "the id of a project, not its name or number")
    _check(given, "region", _REGION, "a region such as us-central1, not a zone")
    for name in ("temp_location", "staging_location", "template_location"):
        if name in given and not _FOLDER.fullmatch(given[name]):  # Beam would silently use a default bucket
            raise EngineError(f"--beam {name}={given[name]}: expected gs://BUCKET/FOLDER")
    if not re.fullmatch(r"[^\s/]+(/[^\s/]+)+(:[\w.-]+|@sha256:[0-9a-f]{64})", given["sdk_container_image"]):
        raise EngineError(f"--beam sdk_container_image={given['sdk_container_image']}: expected REGISTRY/IMAGE:TAG")
    named = _names(extra)
    defaults = [each for each in DEFAULTS if each.startswith("--experiments") or each.partition("=")[0] not in named]
    if given.get("use_public_ips") is not None:
        defaults.remove("--no_use_public_ips")
    if "staging_location" not in given:  # Beam would use a default bucket
        defaults.append(f"--staging_location={given['temp_location'].rstrip('/')}/staging")
    return ("--runner=DataflowRunner", *defaults, *extra)


def _names(extra: tuple[str, ...]) -> set[str]:
    return {each.partition("=")[0] for each in extra}


def _check(given: dict[str, str], name: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(given[name]):
        raise EngineError(f"--beam {name}={given[name]}: expected {expected}")
