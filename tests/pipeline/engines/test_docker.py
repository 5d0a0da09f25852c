"""Python workers of Spark in containers (`--environment docker=IMAGE`): input and output lie in a stand-in of S3.

Runs where a Docker daemon answers and GRISTMILL_WORKER_IMAGE names an image that deploy/Dockerfile made (target
`worker`). deploy/README.md says how to make its base from Debian's packages, without Docker Hub.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from pipeline.engines.job_server import SPARK
from tests.conftest import MINICRAWL
from tests.pipeline.engines.clusters import skip_without, spark_cluster
from tests.pipeline.engines.s3 import serve_s3

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(1800)]

ON_LOOPBACK = ("--spark-conf", "spark.driver.host=127.0.0.1", "--spark-conf", "spark.driver.bindAddress=127.0.0.1")


@pytest.fixture
def image() -> str:
    """The image to test; skips where there is none."""
    name = os.environ.get("GRISTMILL_WORKER_IMAGE", "")
    if not name or not shutil.which("docker"):
        pytest.skip("GRISTMILL_WORKER_IMAGE names no image, or there is no `docker` on this machine")
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True).returncode:
        pytest.skip(f"the Docker daemon does not answer, or does not have {name}")
    return name


def with_environment(image: str, values: dict[str, str]) -> str:
    """An image with these environment variables: Beam passes none to its containers."""
    lines = "".join(f"ENV {name}={value}\n" for name, value in values.items())
    tag = "gristmill-test:s3"
    command = ["docker", "build", "--quiet", "--tag", tag, "-"]
    legacy = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(command, input=f"FROM {image}\n{lines}".encode(), env=legacy, check=True, capture_output=True)
    return tag


def test_containers_write_the_bytes_of_the_local_engine(image, tmp_path, gristmill):
    skip_without(SPARK)
    pages = MINICRAWL / "minicrawl-00000.warc.gz"
    gristmill("curate", pages, "--output", tmp_path / "local")
    with serve_s3() as bucket, spark_cluster(tmp_path) as cluster:
        bucket.put(f"in/{pages.name}", pages.read_bytes())
        started = with_environment(image, bucket.environment)
        arguments = ("--engine", "spark", "--spark-master", cluster.master, *ON_LOOPBACK)
        where = ("s3://grist/in/", "--output", "s3://grist/out", "--environment", f"docker={started}")
        gristmill("curate", *where, *arguments, **bucket.environment)
        found = json.loads(bucket.read("out/manifest.json"))
        for name in bucket.names("out/"):
            (tmp_path / "spark" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "spark" / name).write_bytes(bucket.read(name))
    assert found["content_hash"] == json.loads((tmp_path / "local/manifest.json").read_text())["content_hash"]
