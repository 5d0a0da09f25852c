"""Google Dataflow: which options a run needs, which follow from how our workers work, and launching from a template.

Options of Beam are given with `--beam NAME=VALUE`; their names are Beam's own. Ours beside them:

- one harness thread: each unit runs in a killable child with models of its own, and Dataflow starts a Python process
  per core; Beam's default of twelve threads would hold twelve times the memory;
- the shuffle service: keys leave the workers' disks, so a lost worker costs its units only;
- `use_runner_v2` and the container image: workers run what is locked in deploy/Dockerfile and install nothing.

A flex template builds one job a launch, and a run is four of them, each from the results of the former: so a launch
builds the next one that is not done and ends (`SubmittedError`); deploy/README.md says how to repeat it.
"""

from __future__ import annotations

import re

OURS = (
    "--number_of_worker_harness_threads=1",
    "--experiments=use_runner_v2",
    "--experiments=shuffle_mode=service",
    "--no_use_public_ips",
    "--no_save_main_session",  # functions travel by their names: workers have the same packages
)
REQUIRED = {
    "project": "the Google Cloud project that pays",
    "region": "where the workers run, e.g. us-central1",
    "temp_location": "a gs:// folder for Beam's own files",
    "sdk_container_image": "the worker's image, built from deploy/Dockerfile",
}
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_FOLDER = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/.+")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")


def dataflow_options(extra: tuple[str, ...]) -> tuple[str, ...]:
    """Beam's options for Dataflow. Raises ValueError for one that is missing or cannot be right."""
    given = {name.removeprefix("--"): value for name, _, value in (each.partition("=") for each in extra)}
    for name, what in REQUIRED.items():
        if not given.get(name):
            raise ValueError(f"--engine dataflow needs --beam {name}=... ({what})")
    _check(given, "project", _PROJECT, "the id of a project, not its name or number")
    _check(given, "region", _REGION, "a region such as us-central1, not a zone")
    for name in ("temp_location", "staging_location", "template_location"):
        if name in given and not _FOLDER.fullmatch(given[name]):  # Beam would quietly take a bucket of its own choice
            raise ValueError(f"--beam {name}={given[name]}: expected gs://BUCKET/FOLDER")
    if not re.fullmatch(r"[^\s/]+(/[^\s/]+)+(:[\w.-]+|@sha256:[0-9a-f]{64})", given["sdk_container_image"]):
        raise ValueError(f"--beam sdk_container_image={given['sdk_container_image']}: expected REGISTRY/IMAGE:TAG")
    ours = [each for each in OURS if each.startswith("--experiments") or each.partition("=")[0] not in _names(extra)]
    if given.get("use_public_ips") is not None:
        ours.remove("--no_use_public_ips")
    if "staging_location" not in given:  # or Beam looks for a bucket of its own choice
        ours.append(f"--staging_location={given['temp_location'].rstrip('/')}/staging")
    return ("--runner=DataflowRunner", *ours, *extra)


def _names(extra: tuple[str, ...]) -> set[str]:
    return {each.partition("=")[0] for each in extra}


def _check(given: dict[str, str], name: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(given[name]):
        raise ValueError(f"--beam {name}={given[name]}: expected {expected}")
