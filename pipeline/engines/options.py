"""From what a user asks of an engine to the options that Beam understands; engines that are not proven are refused.

    local      Beam's in-process runner on this machine                       nothing else is needed
    spark      a standalone, YARN or Kubernetes cluster, or local[N]          Java, a job server (job_server.py)
    flink      a cluster, or [local] inside the job server                    Java, a job server
    dataflow   Google's service                                               see dataflow.py

Where Python workers come from on Spark and Flink (`--environment`):

    loopback           this very process serves them: for clusters on this machine alone
    process[=COMMAND]  each executor starts COMMAND (gristmill-worker) from the virtual environment of its node
    external=HOST:PORT a worker pool that runs beside each executor, e.g. a side-car container
    docker=IMAGE       each executor starts containers of IMAGE
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

log = logging.getLogger("gristmill")

LOCAL, SPARK, FLINK, DATAFLOW = "local", "spark", "flink", "dataflow"
PROVEN = (LOCAL, SPARK, FLINK, DATAFLOW)
_ENVIRONMENTS = {"loopback": "LOOPBACK", "process": "PROCESS", "external": "EXTERNAL", "docker": "DOCKER"}
_WHY_NOT = {
    "dask": "Beam's Dask runner loses rows without an error (output of finish_bundle is dropped)",
    "direct": "Beam's runner for one machine is called `local` here",
    "prism": "Beam's runner for one machine is called `local` here, and it is another one",
}
_OPTIONS = (
    click.option(
        "--engine",
        default=LOCAL,
        show_default=True,
        metavar="NAME",
        help="Where jobs run: local, spark, flink or dataflow.",
    ),
    click.option("--spark-master", metavar="URL", help="With --engine spark: spark://HOST:PORT, yarn, local[2] ..."),
    click.option("--spark-conf", multiple=True, metavar="NAME=VALUE", help="As for spark-submit."),
    click.option("--flink-master", metavar="ADDRESS", help="With --engine flink: HOST:PORT or [local]."),
    click.option(
        "--environment",
        default="loopback",
        show_default=True,
        metavar="KIND",
        help="Python workers of Spark and Flink: loopback, process[=COMMAND], external=HOST:PORT or docker=IMAGE.",
    ),
    click.option("--job-server", metavar="WHERE", help="A jar, a folder of jars or HOST:PORT instead of fetching one."),
    click.option("--beam", "beam", multiple=True, metavar="NAME[=VALUE]", help="An option of Beam; may be repeated."),
    click.option("--force-engine", is_flag=True, help="Use an engine that is not proven to give the same output."),
)


def engine_options(command: Any) -> Any:
    """Adds the options of `EngineOptions` to a click command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The engine as the user asks for it; field names are the command's options."""

    engine: str = LOCAL
    spark_master: str | None = None
    spark_conf: tuple[str, ...] = ()
    flink_master: str | None = None
    environment: str = "loopback"
    job_server: str | None = None
    beam: tuple[str, ...] = ()
    force_engine: bool = False


@dataclass(frozen=True, slots=True)
class Engine:
    """Beam's options, and how many units one Beam worker does at a time."""

    options: tuple[str, ...]
    concurrency: int


@contextmanager
def open_engine(asked: EngineOptions, workers: int) -> Iterator[Engine]:
    """The engine while the block runs. Raises ValueError for what cannot work, before anything is written."""
    refuse_unproven(asked)
    extra = tuple(f"--{each.lstrip('-')}" for each in asked.beam)
    if asked.engine == SPARK:
        with _quiet_goodbyes(), _spark(asked) as options:
            yield Engine((*options, *_check(extra, _described(options))), 1)
    elif asked.engine == FLINK:
        with _quiet_goodbyes(), _flink(asked, workers) as options:
            yield Engine((*options, *_check(extra, _described(options))), 1)
    elif asked.engine == DATAFLOW:
        from pipeline.engines.dataflow import dataflow_options

        yield Engine(dataflow_options(_check(extra)), 1)
    else:
        runner = "FnApiRunner" if asked.engine == LOCAL else asked.engine
        yield Engine((f"--runner={runner}", *_check(extra)), workers if asked.engine == LOCAL else 1)


def refuse_unproven(asked: EngineOptions) -> None:
    """Raises ValueError for an engine on which nobody has seen the same manifest, and for options of another engine."""
    if asked.engine not in PROVEN:
        name = asked.engine.lower().removesuffix("runner")
        why = _WHY_NOT.get(name, "no test has shown that it gives the same output as the local runner")
        if not asked.force_engine:
            raise ValueError(
                f"--engine {asked.engine} is refused: {why}. "
                f"Proven are {', '.join(PROVEN)}; --force-engine uses it anyway"
            )
        log.warning("--engine %s: %s; compare content_hash with a local run of the same input", asked.engine, why)
    only_for = {"spark_master": SPARK, "spark_conf": SPARK, "flink_master": FLINK}
    for field, engine in only_for.items():
        if getattr(asked, field) and asked.engine != engine:
            raise ValueError(f"--{field.replace('_', '-')} is for --engine {engine}, not {asked.engine}")
    if asked.job_server and asked.engine not in (SPARK, FLINK):
        raise ValueError(f"--job-server is for --engine spark and flink, not {asked.engine}")


@contextmanager
def _spark(asked: EngineOptions) -> Iterator[tuple[str, ...]]:
    from pipeline.engines.job_server import SPARK as KIND
    from pipeline.engines.job_server import running

    if not asked.spark_master:
        raise ValueError("--engine spark needs --spark-master, e.g. spark://HOST:7077 (or local[2] to try it)")
    environment = _environment(asked)
    properties = [_spark_property(each) for each in asked.spark_conf]
    arguments = ["--spark-master-url", asked.spark_master]
    with running(KIND, asked.job_server, arguments, properties) as endpoint:
        yield (*_portable(endpoint), f"--spark_master={asked.spark_master}", *environment)


@contextmanager
def _flink(asked: EngineOptions, workers: int) -> Iterator[tuple[str, ...]]:
    from pipeline.engines.job_server import FLINK as KIND
    from pipeline.engines.job_server import running

    if not asked.flink_master:
        raise ValueError("--engine flink needs --flink-master, HOST:PORT of the cluster (or [local] to try it)")
    environment = _environment(asked)
    parallelism = () if any("parallelism" in each for each in asked.beam) else (f"--parallelism={workers}",)
    with running(KIND, asked.job_server, ["--flink-master", asked.flink_master], ()) as endpoint:
        yield (*_portable(endpoint), f"--flink_master={asked.flink_master}", *environment, *parallelism)


@contextmanager
def _quiet_goodbyes() -> Iterator[None]:
    """Loopback workers are threads of ours; when the engine hangs up on them, each would print a traceback."""
    import grpc

    before = threading.excepthook

    def hook(found: threading.ExceptHookArgs) -> None:
        if not issubclass(found.exc_type, grpc.RpcError):
            before(found)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _portable(endpoint: str) -> tuple[str, ...]:
    return (
        "--runner=PortableRunner",
        f"--job_endpoint={endpoint}",
        # Stages are fused by Beam's Python side: the job servers' own fusion gives some of our merged inputs two
        # producers and then refuses them ("should have exactly one producing PTransformNode").
        "--experiments=pre_optimize=all",
        # An executor keeps its Python workers between stages; by default each stage starts and imports anew.
        f"--environment_cache_millis={10 * 60 * 1000}",
    )


def _spark_property(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    if not equals or not name.startswith("spark."):
        raise ValueError(f"--spark-conf {pair}: expected spark.NAME=VALUE")
    return pair


def _environment(asked: EngineOptions) -> tuple[str, ...]:
    kind, _, value = asked.environment.partition("=")
    if kind not in _ENVIRONMENTS:
        raise ValueError(f"--environment {asked.environment}: expected one of {', '.join(_ENVIRONMENTS)}")
    if kind in ("external", "docker") and not value:
        raise ValueError(f"--environment {kind} needs a value: {kind}={'HOST:PORT' if kind == 'external' else 'IMAGE'}")
    if kind == "process":
        value = json.dumps({"command": value or worker_command()})
    config = (f"--environment_config={value}",) if value else ()
    return (f"--environment_type={_ENVIRONMENTS[kind]}", *config)


def worker_command() -> str:
    """`gristmill-worker` of this virtual environment; other nodes must have it at the same path."""
    beside = Path(sys.executable).parent / "gristmill-worker"
    command = str(beside) if beside.exists() else shutil.which("gristmill-worker")
    if command is None:
        raise ValueError("--environment process: no gristmill-worker here; name it with process=/PATH/gristmill-worker")
    return command


def _check(extra: tuple[str, ...], described: Sequence[str] = ()) -> tuple[str, ...]:
    """Refuses what nobody knows: Beam itself would drop a misspelled option with a mere warning."""
    from apache_beam.options.pipeline_options import PipelineOptions

    if not extra:
        return extra
    known: dict[str, Any] = {}

    def add(parser: Any) -> None:
        for action in parser._actions:
            known.update(dict.fromkeys(action.option_strings))

    PipelineOptions([]).get_all_options(add_extra_args_fn=add)
    known.update((f"--{name}", None) for name in described)
    for option in extra:
        if option.partition("=")[0] not in known:
            raise ValueError(f"--beam {option.removeprefix('--')}: Beam {_beam_version()} knows no such option")
    return extra


def _beam_version() -> str:
    import apache_beam

    return str(apache_beam.__version__)


def _described(options: Sequence[str]) -> list[str]:
    """Names of the options that the job server knows beside Beam's Python side."""
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    endpoint = next(each.partition("=")[2] for each in options if each.startswith("--job_endpoint="))
    request = beam_job_api_pb2.DescribePipelineOptionsRequest()
    with grpc.insecure_channel(endpoint) as channel:
        answer = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(
            request, timeout=60, wait_for_ready=True
        )
    return [option.name for option in answer.options]
