"""`gristmill-worker`: one Python worker of Beam on a node that has only a virtual environment, no container.

Spark and Flink start it (environment `process`), or Beam's worker pool does (`external`), as they would start the
`boot` program of Beam's container: with the addresses of the services to talk to. Nothing is downloaded or installed,
the environment that it runs in has Gristmill already.
"""

from __future__ import annotations

import argparse
import os
import sys


def main(arguments: list[str] | None = None) -> None:
    """Asks the runner for its options and serves it until it hangs up."""
    parser = argparse.ArgumentParser(prog="gristmill-worker", description=__doc__)
    for name in ("id", "provision_endpoint"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("control_endpoint", "logging_endpoint", "artifact_endpoint", "semi_persist_dir"):
        parser.add_argument(f"--{name}", default="")
    asked = parser.parse_args(arguments)
    os.environ.update(_environment(asked))
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


def _environment(asked: argparse.Namespace) -> dict[str, str]:
    """What Beam's worker expects in its environment, from what the runner tells."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as messages
    from apache_beam.portability.api import beam_provision_api_pb2_grpc as services
    from google.protobuf import json_format

    with grpc.insecure_channel(asked.provision_endpoint) as channel:
        answer = services.ProvisionServiceStub(channel).GetProvisionInfo(
            messages.GetProvisionInfoRequest(), timeout=60, metadata=[("worker_id", asked.id)]
        )
    control = answer.info.control_endpoint.url or asked.control_endpoint
    logging = answer.info.logging_endpoint.url or asked.logging_endpoint
    return {
        "WORKER_ID": asked.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(answer.info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{control}"',
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{logging}"',
        "RUNNER_CAPABILITIES": " ".join(answer.info.runner_capabilities),
    }


if __name__ == "__main__":
    main()
