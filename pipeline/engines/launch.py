"""Start an engine: from the command's engine options to the options that Beam needs.

For Spark and Flink, a job server runs as long as the engine is open.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.engines import job_server
from pipeline.engines.beam_options import check_beam_options, read_job_server_options
from pipeline.engines.environments import environment_options
from pipeline.engines.options import (
    BEAM,
    DATAFLOW,
    DIRECT_OPTIONS,
    FLINK,
    LOCAL,
    SMALL_INPUT,
    SPARK,
    EngineError,
    EngineOptions,
    check_options,
)


@dataclass(frozen=True, slots=True)
class Engine:
    """A started engine: Beam's options, and how many units one Beam worker processes at a time."""

    options: tuple[str, ...]
    concurrency: int


@contextmanager
def open_engine(options: EngineOptions, workers: int, input_bytes: int = 0) -> Iterator[Engine]:
    """The engine while the block runs. Raises EngineError before anything is written.

    `input_bytes` (compressed) decides if the local engine needs Beam.
    """
    check_options(options)
    extra = tuple(f"--{each.lstrip('-')}" for each in options.beam)
    if options.engine == SPARK:
        with _ignore_grpc_errors_at_shutdown(), _open_spark(options, extra) as beam_options:
            yield Engine(beam_options, 1)
    elif options.engine == FLINK:
        with _ignore_grpc_errors_at_shutdown(), _open_flink(options, extra, workers) as beam_options:
            yield Engine(beam_options, 1)
    elif options.engine == DATAFLOW:
        from pipeline.engines.dataflow import dataflow_options

        yield Engine(dataflow_options(check_beam_options(extra)), 1)
    elif options.engine == LOCAL and not extra and input_bytes <= SMALL_INPUT:
        yield Engine(DIRECT_OPTIONS, workers)
    else:
        is_local = options.engine in (LOCAL, BEAM)
        runner = "FnApiRunner" if is_local else options.engine
        yield Engine((f"--runner={runner}", *check_beam_options(extra)), workers if is_local else 1)


@contextmanager
def _open_spark(options: EngineOptions, extra: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if not options.spark_master:
        raise EngineError("--engine spark needs --spark-master, e.g. spark://HOST:7077 (or local[2] to try it)")
    master = (f"--spark_master={options.spark_master}", *environment_options(options.environment))
    properties = [_check_spark_property(each) for each in options.spark_conf]
    arguments = ["--spark-master-url", options.spark_master]
    with job_server.start(job_server.SPARK, options.job_server, arguments, properties) as endpoint:
        yield _portable_options(endpoint, master, extra)


@contextmanager
def _open_flink(options: EngineOptions, extra: Sequence[str], workers: int) -> Iterator[tuple[str, ...]]:
    if not options.flink_master:
        raise EngineError("--engine flink needs --flink-master, HOST:PORT of the cluster (or [local] to try it)")
    master = (f"--flink_master={options.flink_master}", *environment_options(options.environment))
    parallelism = () if any("parallelism" in each for each in extra) else (f"--parallelism={workers}",)
    arguments = ["--flink-master", options.flink_master]
    with job_server.start(job_server.FLINK, options.job_server, arguments, ()) as endpoint:
        yield _portable_options(endpoint, (*master, *parallelism), extra)


def _portable_options(endpoint: str, of_engine: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    """Beam's options for a job server at HOST:PORT; the user's options come last, so that they take precedence."""
    return (
        "--runner=PortableRunner",
        f"--job_endpoint={endpoint}",
        # Beam's Python side fuses the stages: the job servers' own fusion gives some merged inputs two producers and
        # then refuses them ("should have exactly one producing PTransformNode").
        "--experiments=pre_optimize=all",
        # An executor keeps its Python workers between stages; by default each stage starts and imports anew.
        f"--environment_cache_millis={10 * 60 * 1000}",
        *of_engine,
        *check_beam_options(extra, read_job_server_options(endpoint)),
    )


def _check_spark_property(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    if not equals or not name.startswith("spark."):
        raise EngineError(f"--spark-conf {pair}: expected spark.NAME=VALUE")
    return pair


@contextmanager
def _ignore_grpc_errors_at_shutdown() -> Iterator[None]:
    """Loopback workers are threads of this process; each prints a traceback when the engine closes its connection."""
    import grpc

    previous = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not issubclass(failure.exc_type, grpc.RpcError):
            previous(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = previous
