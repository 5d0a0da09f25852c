"""The files of deploy/ match the options of `gristmill curate`, each other and public schemas."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import click
import kubernetes_validate
import pytest
import yaml

from pipeline import errors
from pipeline.cli import gristmill as group
from pipeline.cli import main
from pipeline.engines.beam_options import check_beam_options
from pipeline.engines.dataflow import REQUIRED, dataflow_options
from pipeline.engines.environments import environment_options
from pipeline.engines.job_server import PROVEN_BEAM, SPARK
from pipeline.engines.options import PROVEN, EngineOptions, check_options
from pipeline.storage.lease import LEASE_SECONDS
from tests.conftest import ROOT
from trainer.cli import train

DEPLOY = ROOT / "deploy"
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DOCKERFILES = sorted(DEPLOY.glob("Dockerfile*"))
CURATE = group.commands["curate"]


def parse(arguments: list[str]) -> dict:
    """The values of the options of `curate` for these arguments; raises usage errors."""
    assert arguments[0] == "curate"
    return CURATE.make_context("curate", list(arguments[1:])).params


def flex_main():
    spec = importlib.util.spec_from_file_location("flex_main", DEPLOY / "dataflow/main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_files_of_deploy_are_found():
    assert len(SCRIPTS) == 3
    assert len(MANIFESTS) == 2
    assert len(DOCKERFILES) == 2
    assert callable(main)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_pass_shellcheck(script):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_manifests_follow_the_schema_and_pass_valid_options(manifest):
    content = yaml.safe_load(manifest.read_text())
    kubernetes_validate.validate(content, "1.30", strict=True)
    job = content["spec"]["jobTemplate"] if content["kind"] == "CronJob" else content
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    options = parse(container["args"])
    assert options["snapshot"]
    assert options["output"].startswith("s3://")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_still_restarts_a_killed_job_when_the_lease_of_the_killed_run_expires(manifest):
    content = yaml.safe_load(manifest.read_text())
    job = content["spec"]["jobTemplate"] if content["kind"] == "CronJob" else content
    # Kubernetes waits 10 seconds before the first restart, then twice as long each time, up to 300.
    pauses = [min(10 * 2**number, 300) for number in range(job["spec"]["backoffLimit"])]
    assert sum(pauses[:-1]) > LEASE_SECONDS


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_gives_up_where_the_same_command_would_fail_again(manifest):
    content = yaml.safe_load(manifest.read_text())
    job = content["spec"]["jobTemplate"] if content["kind"] == "CronJob" else content
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # a failure policy needs it
    given_up = {
        code
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        if rule["action"] == "FailJob"
        for code in rule["onExitCodes"]["values"]
    }
    hopeless = (errors.UserError, errors.MissingFileError, errors.RunFailedError, errors.AccessError)
    assert given_up == {kind.exit_code for kind in hopeless}
    assert not given_up & {errors.FileError.exit_code, errors.LockedError.exit_code, errors.DiskFullError.exit_code}


def test_the_schema_rejects_a_broken_manifest():
    content = yaml.safe_load(MANIFESTS[0].read_text())
    content["spec"]["shedule"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(content, "1.30", strict=True)


def test_every_parameter_of_the_flex_template_is_an_option_of_curate_or_of_beam():
    metadata = json.loads((DEPLOY / "dataflow/metadata.json").read_text())
    names = {parameter["name"] for parameter in metadata["parameters"]}
    module = flex_main()
    options = {option.lstrip("-") for parameter in CURATE.params for option in parameter.opts}
    assert set(module.OPTIONS) <= options
    assert {module.ARGUMENTS, *module.OPTIONS} <= names
    beams = names - {module.ARGUMENTS, *module.OPTIONS}
    assert beams == {"sdk_container_image", "disk_size_gb"}
    assert "sdk_container_image" in REQUIRED
    for parameter in metadata["parameters"]:
        assert parameter["label"]
        assert parameter["helpText"]
        for pattern in parameter.get("regexes", ()):
            re.compile(pattern)
    needed = {parameter["name"] for parameter in metadata["parameters"] if not parameter["isOptional"]}
    assert needed == {"output", "sdk_container_image"}


def test_the_parameters_of_a_launch_become_valid_options():
    launched = [
        "--runner=DataflowRunner", "--project=my-project", "--region=us-central1", "--temp_location=gs://b/temp",
        "--template_location=gs://b/template", "--sdk_container_image=r.dev/p/gristmill:1", "--inputs=gs://b/a gs://b/c",
        "--output=gs://b/out", "--limit=3", "--set=publish.shard_bytes=1000;prepare.unit_bytes=5", "--prefix=",
    ]  # fmt: skip
    options = parse(flex_main().command(launched))
    assert options["inputs"] == ("gs://b/a", "gs://b/c")
    assert options["engine"] == "dataflow"
    assert options["limit"] == 3
    assert options["prefix"] is None
    assert options["overrides"] == ("publish.shard_bytes=1000", "prepare.unit_bytes=5")
    assert set(options["beam"]) == {
        "project=my-project", "region=us-central1", "temp_location=gs://b/temp", "template_location=gs://b/template",
        "sdk_container_image=r.dev/p/gristmill:1",
    }  # fmt: skip


@pytest.fixture
def record_calls(tmp_path, monkeypatch):
    """A function that runs a script of deploy/ with fake programs on PATH and returns their names and arguments."""
    log = tmp_path / "calls"
    for name in ("gcloud", "docker", "gristmill", "gristmill-worker", "python"):
        (tmp_path / name).write_text(f'#!/bin/sh\nprintf "%s\\0" {name} "$@" >> {log}\nprintf "\\n" >> {log}\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def run(script: str, *arguments: str, **environment: str) -> list[list[str]]:
        log.unlink(missing_ok=True)
        subprocess.run([DEPLOY / script, *arguments], check=True, env={**os.environ, **environment})
        return [line.removesuffix("\0").split("\0") for line in log.read_text().splitlines()]

    return run


def test_the_spark_script_passes_valid_options(record_calls):
    environment = {"SPARK_MASTER": "spark://h:7077", "SPARK_CORES": "4", "GRISTMILL_WORKERS": "external=localhost:1"}
    ((name, *arguments),) = record_calls("spark/submit.sh", "in put", "--output", "out", **environment)
    assert name == "gristmill"
    options = parse(arguments)
    assert (options["inputs"], options["output"], options["spark_master"]) == (("in put",), "out", "spark://h:7077")
    assert {"spark.cores.max=4", "spark.default.parallelism=12"} < set(options["spark_conf"])
    engine = {field.name: options[field.name] for field in fields(EngineOptions)}
    check_options(EngineOptions(**engine))
    assert environment_options(engine["environment"]) == (
        "--environment_type=EXTERNAL",
        "--environment_config=localhost:1",
    )


def test_the_pool_script_starts_beams_worker_pool_with_gristmill_worker(record_calls, tmp_path):
    ((name, *arguments),) = record_calls("spark/worker-pool.sh", "50001")
    assert name == "python"
    assert arguments[:2] == ["-m", "apache_beam.runners.worker.worker_pool_main"]
    assert importlib.util.find_spec(arguments[1])
    assert arguments[2:] == ["--service_port", "50001", "--container_executable", f"{tmp_path}/gristmill-worker"]


GOOGLE = {"PROJECT": "my-project", "REGION": "us-central1", "BUCKET": "gs://bucket", "IMAGE": "r.dev/p/gristmill:1"}


def test_a_launch_passes_parameters_that_the_template_and_the_command_accept(record_calls):
    given = {"inputs": "gs://b/a.warc.gz gs://b/c.warc.gz", "output": "gs://b/out"}
    arguments = [f"{name}={value}" for name, value in given.items()]
    ((name, *flags),) = record_calls("dataflow/launch.sh", "launch", *arguments, **GOOGLE, DISK_GB="31")
    assert (name, *flags[:3]) == ("gcloud", "dataflow", "flex-template", "run")
    text = flags[flags.index("--parameters") + 1]
    assert text.startswith("^|^")  # gcloud's syntax for another separator, as values contain commas and spaces
    passed = dict(pair.split("=", 1) for pair in text.removeprefix("^|^").split("|"))
    described = {p["name"]: p for p in json.loads((DEPLOY / "dataflow/metadata.json").read_text())["parameters"]}
    assert passed.keys() <= described.keys()
    for name, value in passed.items():
        assert all(re.search(pattern, value) for pattern in described[name].get("regexes", ())), name
    launcher = [f"--project={GOOGLE['PROJECT']}", f"--region={GOOGLE['REGION']}", "--temp_location=gs://bucket/temp"]
    options = parse(flex_main().command([*launcher, *(f"--{name}={value}" for name, value in passed.items())]))
    assert options["inputs"] == tuple(given["inputs"].split())
    beam = tuple(f"--{option}" for option in options["beam"])
    assert "--disk_size_gb=31" in dataflow_options(check_beam_options(beam))


def test_a_build_names_stages_of_the_dockerfile(record_calls):
    calls = record_calls("dataflow/launch.sh", "build", **GOOGLE)
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE))
    built = [call[call.index("--target") + 1] for call in calls if call[:2] == ["docker", "build"]]
    assert set(built) == {"worker", "launcher"} <= stages
    (template,) = [call for call in calls if call[0] == "gcloud"]
    assert (ROOT / template[template.index("--metadata-file") + 1]).is_file()


def test_the_airflow_file_compiles_and_passes_valid_options():
    tree = ast.parse((DEPLOY / "airflow/gristmill_monthly.py").read_text())
    (call,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CURATE"
    ]
    arguments = [item.value if isinstance(item, ast.Constant) else "s3://b/out" for item in call.elts]
    assert parse(arguments)["snapshot"] == "newest"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_run_without_root_on_locked_versions_and_copy_what_exists(dockerfile):
    lines = dockerfile.read_text().splitlines()
    assert "USER 10001" in lines
    assert any("--constraint requirements.lock" in line for line in lines)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), f"{line}: no {source}"
                assert source in allowed, f"{source} is excluded by .dockerignore"


def test_the_worker_image_has_beam_in_the_locked_version_and_the_trainer_has_none():
    worker, trainer = (path.read_text() for path in DOCKERFILES)
    beam = re.search(r"^apache-beam==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1]
    assert f"ARG BEAM={beam}" in worker
    assert "[pipeline,dataflow]" in worker
    assert "[trainer]" in trainer
    assert "beam" not in re.sub(r"import apache_beam|without Beam", "", trainer).lower()


def test_the_readme_names_paths_versions_and_options_that_exist():
    text = (DEPLOY / "README.md").read_text()
    paths = set(re.findall(r"`((?:deploy|tests|pipeline)/[\w./-]+)", text))
    assert len(paths) > 8
    assert not [path for path in paths if not (ROOT / path).exists()]
    rows = [line.split("|")[1].strip().lower() for line in text.splitlines() if line.startswith("| ")]
    assert {*PROVEN, "dask"} <= set(rows)
    lock = (ROOT / "requirements.lock").read_text()
    for package, words in {"apache-beam": "under Beam {} for Python", "pyspark": "(Spark {},"}.items():
        assert words.format(re.search(rf"^{package}==(\S+)", lock, re.MULTILINE)[1]) in text
    assert f"{SPARK.artifact}-{PROVEN_BEAM}/" in text
    assert SPARK.driver in text
    commands = (CURATE, train.commands["pretrain"])  # of the trainer, how it runs on several machines
    options = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)", text)) - {"--add-opens", "--price"} <= options


def test_parse_raises_usage_errors():
    with pytest.raises(click.UsageError):
        parse(["curate", "x", "--output", "y", "--no-such-option"])


def test_models_and_lists_are_in_the_packages():
    for path in ("classifiers/models", "pipeline/lists"):
        files = [file for file in (ROOT / path).rglob("*") if file.is_file() and "__pycache__" not in file.parts]
        patterns = re.search(r'^"\*" = \[(.*)\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
        endings = tuple(re.findall(r'"\*(\.\w+)"', patterns))
        left_out = [file for file in files if not file.name.endswith((*endings, ".py"))]
        assert not left_out, f"missing from the package and the image: {[str(Path(file)) for file in left_out]}"
