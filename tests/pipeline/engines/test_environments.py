"""Each --environment becomes the options that Beam reads."""

from __future__ import annotations

import json

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from pipeline.engines.environments import environment_options


def test_environments_are_what_beam_reads():
    for kind, expected in {
        "loopback": ("LOOPBACK", None),
        "process=/opt/venv/bin/gristmill-worker": ("PROCESS", '{"command": "/opt/venv/bin/gristmill-worker"}'),
        "external=localhost:50000": ("EXTERNAL", "localhost:50000"),
        "docker=registry/gristmill:1": ("DOCKER", "registry/gristmill:1"),
    }.items():
        options = PipelineOptions(list(environment_options(kind))).view_as(PortableOptions)
        assert (options.environment_type, options.environment_config) == expected


def test_process_finds_the_worker_of_this_virtual_environment():
    kind, config = environment_options("process")
    command = json.loads(config.partition("=")[2])["command"]
    assert kind == "--environment_type=PROCESS"
    assert command.endswith("gristmill-worker")
