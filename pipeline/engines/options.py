"""The engine options of `gristmill curate`, and which engines are accepted.

    local      this machine: small inputs without Beam, others as `beam`      needs nothing else
    beam       Beam's in-process runner on this machine                       needs nothing else
    spark      a standalone, YARN or Kubernetes cluster, or local[N]          Java and a job server (job_server.py)
    flink      a cluster, or [local] inside the job server                    Java and a job server
    dataflow   Google's service                                               see dataflow.py

An engine is accepted if a test has shown that it writes the same manifest as the local one; others need --force-engine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from pipeline.errors import UserError

log = logging.getLogger("gristmill")

LOCAL, BEAM, SPARK, FLINK, DATAFLOW = "local", "beam", "spark", "flink", "dataflow"
PROVEN = (LOCAL, BEAM, SPARK, FLINK, DATAFLOW)
# Beam's options of the engines on this machine. The class name of Beam's in-process runner: "DirectRunner" would first
# try to download another runner.
LOCAL_OPTIONS = ("--runner=FnApiRunner",)
# Without Beam. To import it and to run its four graphs takes 3 s of CPU: the time of some hundred pages.
DIRECT_OPTIONS = ("--runner=none",)
SMALL_INPUT = 256_000_000  # bytes of compressed input up to which the local engine goes without Beam
_WHY_REFUSED = {
    "dask": "Beam's Dask runner loses rows without an error (output of finish_bundle is dropped)",
    "direct": "Beam's runner for one machine is `--engine beam`",
    "prism": "Beam's runner for one machine is `--engine beam`; Prism is another one",
}
_CLICK_OPTIONS = (
    click.option(
        "--engine",
        default=LOCAL,
        show_default=True,
        metavar="NAME",
        help="Where jobs run: local, beam (local, Beam for any input), spark, flink or dataflow.",
    ),
    click.option("--spark-master", metavar="URL", help="With --engine spark: spark://HOST:PORT, yarn, local[2] ..."),
    click.option("--spark-conf", multiple=True, metavar="NAME=VALUE", help="As for spark-submit; may be repeated."),
    click.option("--flink-master", metavar="ADDRESS", help="With --engine flink: HOST:PORT or [local]."),
    click.option(
        "--environment",
        default="loopback",
        show_default=True,
        metavar="KIND",
        help="Python workers of Spark and Flink: loopback, process[=COMMAND], external=HOST:PORT or docker=IMAGE.",
    ),
    click.option("--job-server", metavar="WHERE", help="A jar, a folder of jars or HOST:PORT of a running job server."),
    click.option("--beam", "beam", multiple=True, metavar="NAME[=VALUE]", help="An option of Beam; may be repeated."),
    click.option("--force-engine", is_flag=True, help="Use an engine that is not proven to give the same output."),
)


class EngineError(UserError):
    """An engine or its options cannot be used: why, and what to do."""


class SubmittedError(UserError):
    """Not a failure: a job graph was handed to a launcher, and the rest of the run must wait until it is done."""

    exit_code = 0


def is_direct(options: Sequence[str]) -> bool:
    """Whether jobs run in this process, without Beam."""
    return tuple(options) == DIRECT_OPTIONS


def is_on_this_machine(options: Sequence[str]) -> bool:
    return is_direct(options) or set(LOCAL_OPTIONS) <= set(options)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The values of the command's engine options; the field names are those of the options."""

    engine: str = LOCAL
    spark_master: str | None = None
    spark_conf: tuple[str, ...] = ()
    flink_master: str | None = None
    environment: str = "loopback"
    job_server: str | None = None
    beam: tuple[str, ...] = ()
    force_engine: bool = False


def engine_options(command: Any) -> Any:
    """Decorator: adds the options of `EngineOptions` to a click command."""
    for option in reversed(_CLICK_OPTIONS):
        command = option(command)
    return command


def check_options(options: EngineOptions) -> None:
    """Raise EngineError for an engine without proof that it writes the same manifest, or options of another engine."""
    if options.engine not in PROVEN:
        _check_unproven(options)
    only_for = {"spark_master": SPARK, "spark_conf": SPARK, "flink_master": FLINK}
    for field, engine in only_for.items():
        if getattr(options, field) and options.engine != engine:
            raise EngineError(f"--{field.replace('_', '-')} is for --engine {engine}, not {options.engine}")
    if options.job_server and options.engine not in (SPARK, FLINK):
        raise EngineError(f"--job-server is for --engine spark and flink, not {options.engine}")


def _check_unproven(options: EngineOptions) -> None:
    name = options.engine.lower().removesuffix("runner")
    why = _WHY_REFUSED.get(name, "no test has shown that it gives the same output as the local engine")
    if not options.force_engine:
        raise EngineError(
            f"--engine {options.engine} is refused: {why}. "
            f"Proven are {', '.join(PROVEN)}; --force-engine uses it anyway"
        )
    log.warning("--engine %s: %s; compare content_hash with a local run of the same input", options.engine, why)
