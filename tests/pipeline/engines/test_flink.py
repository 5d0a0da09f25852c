"""Flink, with a cluster inside the job server, writes the same manifest."""

from __future__ import annotations

import pytest

from pipeline.engines.job_server import FLINK
from tests.pipeline.engines.clusters import SMALL_CRAWL, skip_without

pytestmark = [pytest.mark.java, pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes on a busy machine


def test_flink_writes_the_bytes_of_the_local_engine(tmp_path, gristmill):
    skip_without(FLINK)
    small = ("--set", "prepare.unit_bytes=40000")
    gristmill("curate", *SMALL_CRAWL, "--output", tmp_path / "local", *small)
    on_flink = ("--engine", "flink", "--flink-master", "[local]", "--workers", 2)
    gristmill("curate", *SMALL_CRAWL, "--output", tmp_path / "flink", *on_flink, *small)
    assert (tmp_path / "flink/manifest.json").read_bytes() == (tmp_path / "local/manifest.json").read_bytes()
