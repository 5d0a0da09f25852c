"""`gristmill-worker`: one Python worker of Beam on a node with a virtual environment and without containers.

Spark and Flink start it (environment `process`), or Beam's worker pool does (`external`), with the arguments of the
`boot` program in Beam's container: addresses of services. It downloads and installs nothing: Gristmill is installed in
the virtual environment that it runs in.
"""

from __future__ import annotations

import argparse
import os
import sys


def main(arguments: list[str] | None = None) -> None:
    """Get the job's options from the runner and work for it until it closes the connection."""
    parser = argparse.ArgumentParser(prog="gristmill-worker", description=__doc__)
    for name in ("id", "provision_endpoint"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("control_endpoint", "logging_endpoint", "artifact_endpoint", "semi_persist_dir"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    os.environ.update(_environment(given))
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _environment(given: argparse.Namespace) -> dict[str, str]:
    """The environment variables that Beam's worker reads, from the runner's provision service."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as services
    from google.protobuf import json_format

    with grpc.insecure_channel(given.provision_endpoint) as channel:
        answer = services.ProvisionServiceStub(channel).GetProvisionInfo(
            messages.GetProvisionInfoRequest(), timeout=60, metadata=[("worker_id", given.id)]
        )
    control = answer.info.control_endpoint.url or given.control_endpoint
    logging = answer.info.logging_endpoint.url or given.logging_endpoint
    return {
        "WORKER_ID": given.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(answer.info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{control}"',
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{logging}"',
        "RUNNER_CAPABILITIES": " ".join(answer.info.runner_capabilities),
    }


if __name__ == "__main__":
    main()
