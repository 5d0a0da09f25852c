"""The counters on an engine's dashboard agree with the files that `gristmill status` reads."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config import Config
from pipeline.curate import PrepareUnit, plan_run
from pipeline.engines.options import LOCAL_OPTIONS
from pipeline.engines.parallel_map import COUNTERS, ParallelMap
from pipeline.inspection.finished_units import FinishedUnits
from pipeline.inspection.progress import Progress, ProgressReader
from pipeline.page_process.chain import open_worker
from pipeline.reading.inputs import resolve_inputs
from tests.conftest import MINICRAWL


def test_beams_counters_equal_what_status_reads_from_the_files(tmp_path):
    config = Config.model_validate({"prepare": {"unit_bytes": 40_000}})
    run = plan_run(resolve_inputs([str(MINICRAWL / "minicrawl-00002.warc.gz")]), config, str(tmp_path))
    assert len(run.units) > 1
    pipeline = beam.Pipeline(options=PipelineOptions(list(LOCAL_OPTIONS)))
    units = pipeline | beam.Create(list(run.units.values()))
    units | ParallelMap(PrepareUnit(config, run.layout), partial(open_worker, config), concurrency=2)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace(COUNTERS))["counters"]
    counters = {counter.key.metric.name: counter.committed for counter in found}
    status = ProgressReader(FinishedUnits(run.layout, run.sizes)).read()
    assert counters == {name: getattr(status, name) for name in ("units_done", "bytes_done", "pages", "errors")}
    assert counters["pages"] > 10
    assert counters.keys() <= {field.name for field in fields(Progress)}
