"""Check options that are passed through to Beam (`--beam NAME=VALUE`): Beam itself ignores a misspelled one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.engines.options import EngineError


def check_beam_options(options: Sequence[str], job_server_names: Sequence[str] = ()) -> tuple[str, ...]:
    """The options, unchanged. Raises EngineError for one that neither Beam nor the job server has."""
    known = {*_beam_option_names(), *(f"--{name}" for name in job_server_names)} if options else set()
    for option in options:
        if option.partition("=")[0] not in known:
            raise EngineError(f"--beam {option.removeprefix('--')}: Beam {_beam_version()} has no such option")
    return tuple(options)


def read_job_server_options(endpoint: str) -> list[str]:
    """Names of the options that the job server at HOST:PORT accepts in addition to Beam's Python options."""
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    request = beam_job_api_pb2.DescribePipelineOptionsRequest()
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        answer = service.DescribePipelineOptions(request, timeout=60, wait_for_ready=True)
    return [option.name for option in answer.options]


def _beam_option_names() -> set[str]:
    from apache_beam.options.pipeline_options import PipelineOptions

    names: set[str] = set()

    def collect(parser: Any) -> None:
        for action in parser._actions:
            names.update(action.option_strings)

    PipelineOptions([]).get_all_options(add_extra_args_fn=collect)
    return names


def _beam_version() -> str:
    import apache_beam

    return str(apache_beam.__version__)
