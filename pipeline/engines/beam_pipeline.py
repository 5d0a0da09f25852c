"""Build and run a Beam pipeline with given options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.engines.options import SubmittedError


@contextmanager
def open_pipeline(options: Sequence[str]) -> Iterator[beam.Pipeline]:
    """A Beam pipeline that has run when the block ends.

    Raises SubmittedError if the options request a template: then a job graph has been written, and nothing has run.
    """
    parsed = PipelineOptions(list(options))  # without an argument, Beam would parse the command line of this process
    with beam.Pipeline(options=parsed) as pipeline:
        yield pipeline
    template = parsed.view_as(GoogleCloudOptions).template_location
    if template:
        raise SubmittedError(
            f"the job graph is {template}; once its job is done, run the same command again to continue"
        )
