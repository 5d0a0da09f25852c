"""Build and run a Beam pipeline with given options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, PortableOptions

from pipeline.engines.options import SubmittedError
from pipeline.errors import RunFailedError


@contextmanager
def open_pipeline(options: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A Beam pipeline that has run when the block ends.

    Raises SubmittedError if the options request a template: then a job graph has been written, and nothing has run;
    RunFailedError if the job server ends or cannot be reached.
    """
    parsed = PipelineOptions(list(options))  # without an argument, Beam would parse the command line of this process
    try:
        with beam.Pipeline(options=parsed) as pipeline:
            yield pipeline
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        server = parsed.view_as(PortableOptions).job_endpoint
        raise RunFailedError(
            f"the job server at {server} does not answer ({error.details()}); the same command goes on with the rest"
        ) from error
    template = parsed.view_as(GoogleCloudOptions).template_location
    if template:
        raise SubmittedError(
            f"the job graph is {template}; once its job is done, run the same command again to continue"
        )
