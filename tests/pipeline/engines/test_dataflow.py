"""Dataflow without Google: options are checked, the graph of every job is built and staged to a fake bucket."""

from __future__ import annotations

import gzip
import json
import os
import shutil

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, WorkerOptions
from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.engines.dataflow import dataflow_options
from pipeline.engines.options import EngineError
from tests.conftest import MINICRAWL
from tests.pipeline.engines.gcs import serve_gcs, service_account

GOOD = {
    "project": "my-project",
    "region": "us-central1",
    "temp_location": "gs://grist/temp",
    "sdk_container_image": "us-docker.pkg.dev/my-project/images/gristmill:1",
}


def flags(**changed: str | None) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in {**GOOD, **changed}.items() if value is not None)


def test_defaults_are_added_and_one_thread_runs_per_core():
    options = PipelineOptions(list(dataflow_options(flags(max_num_workers="50"))))
    assert options.view_as(WorkerOptions).max_num_workers == 50
    assert options.get_all_options()["number_of_worker_harness_threads"] == 1
    assert options.get_all_options()["experiments"] == ["use_runner_v2", "shuffle_mode=service"]
    assert options.view_as(WorkerOptions).use_public_ips is False
    assert options.view_as(GoogleCloudOptions).project == "my-project"


def test_given_options_override_the_defaults():
    options = PipelineOptions(list(dataflow_options((*flags(), "--number_of_worker_harness_threads=2"))))
    assert options.get_all_options()["number_of_worker_harness_threads"] == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"project": None}, "needs --beam project="),
        ({"region": None}, "needs --beam region="),
        ({"temp_location": None}, "needs --beam temp_location="),
        ({"sdk_container_image": None}, "needs --beam sdk_container_image="),
        ({"project": "My Project"}, "the id of a project"),
        ({"region": "us-central1-a"}, "not a zone"),
        ({"temp_location": "/tmp/x"}, "gs://BUCKET/FOLDER"),
        ({"temp_location": "gs://b/temp"}, "gs://BUCKET/FOLDER"),
        ({"template_location": "template"}, "gs://BUCKET/FOLDER"),
        ({"sdk_container_image": "gristmill"}, "REGISTRY/IMAGE:TAG"),
    ],
)
def test_malformed_options_are_refused(changed, message):
    with pytest.raises(EngineError, match=message):
        dataflow_options(flags(**changed))


def on_dataflow(number: int) -> list[str]:
    """Arguments that stage the graph as template `number`."""
    beam = flags(template_location=f"gs://grist/templates/{number}")
    return ["--engine", "dataflow", *(part for flag in beam for part in ("--beam", flag.removeprefix("--")))]


def environment(store, folder) -> dict[str, str]:
    key = service_account(store, folder / "key.json")
    return {**store.environment, "GOOGLE_APPLICATION_CREDENTIALS": str(key)}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_graph_of_every_job_is_built_and_staged(tmp_path, gristmill):
    """Each start builds the next job that is not done; the local engine then runs that job."""
    output = tmp_path / "out"
    arguments = ("curate", MINICRAWL / "minicrawl-00002.warc.gz", "--output", output)
    steps = []
    with serve_gcs() as store:
        for number, until in enumerate(("Prepare", "Deduplicate", "Count words", "Publish")):
            done = gristmill(*arguments, *on_dataflow(number), **environment(store, tmp_path))
            assert f"the job graph is gs://grist/templates/{number}" in done.stdout
            steps.append(graph(store, number))
            assert any(until in name for name in steps[-1]), (until, steps[-1])
            finish_job(arguments, until)
        gristmill(*arguments)
    assert json.loads((output / "manifest.json").read_text())["pages"] > 20
    assert "Deduplicate/Write verdicts/GroupByKey" in steps[1]
    assert os.path.exists(output / "report.json")


@pytest.mark.slow
def test_a_launch_of_a_snapshot_leaves_neither_its_lock_nor_a_pointer(tmp_path, gristmill):
    """When the launch ends, the job has not run: this is no failure, and the crawl must not be marked as complete."""
    crawl = tmp_path / "mirror/crawl-data/CC-MAIN-2026-43"
    crawl.mkdir(parents=True)
    shutil.copy(MINICRAWL / "minicrawl-00002.warc.gz", crawl)
    listed = "crawl-data/CC-MAIN-2026-43/minicrawl-00002.warc.gz\n"
    (crawl / "warc.paths.gz").write_bytes(gzip.compress(listed.encode()))
    with serve_gcs() as store:
        arguments = ("--snapshot", "newest", "--mirror", tmp_path / "mirror", "--output", tmp_path / "out")
        done = gristmill("curate", *arguments, *on_dataflow(0), **environment(store, tmp_path))
        assert "the job graph is gs://grist/templates/0" in done.stdout
        assert any("Prepare" in name for name in graph(store, 0))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["CC-MAIN-2026-43"]


def graph(store, number: int) -> set[str]:
    """Names of the steps in the staged graph, after checks of the job description that refers to it."""
    job = json.loads(store.objects["grist", f"templates/{number}"])
    assert job["environment"]["sdkPipelineOptions"]["options"]["region"] == GOOD["region"]
    assert GOOD["sdk_container_image"] in json.dumps(job["environment"]["workerPools"])
    address = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
    bucket, _, name = address.removeprefix("gs://").partition("/")
    assert bucket == "grist", "staged in the given bucket, not in Beam's default bucket"
    pipeline = beam_runner_api_pb2.Pipeline.FromString(store.objects[bucket, name])
    assert not [each for _, each in store.objects if "main_session" in each]
    return {transform.unique_name for transform in pipeline.components.transforms.values()}


def finish_job(arguments: tuple[object, ...], job: str) -> None:
    """Do the work of one job in place of Dataflow, so that the next start finds it done."""
    from pipeline.config import Config
    from pipeline.curate import count_words, deduplicate, plan_run, prepare
    from pipeline.publish import plan_parts
    from pipeline.reading.inputs import resolve_inputs

    run = plan_run(resolve_inputs([str(arguments[1])], prefix=None, limit=None), Config(), str(arguments[3]))
    finished = prepare(run)
    if job == "Prepare":
        return
    verdicts = deduplicate(run, finished)
    if job == "Deduplicate":
        return
    if job == "Count words":
        count_words(run, verdicts, plan_parts(finished.characters, run.config.publish.shard_bytes))
