#!/usr/bin/env bash
# A pool of Python workers beside a Spark or Flink executor, for nodes that have only a container (as its side-car) or
# only a virtual environment: then run `gristmill curate ... --environment external=localhost:PORT`.
#   deploy/spark/worker-pool.sh [PORT]
set -euo pipefail

worker=$(command -v gristmill-worker) || { echo "worker-pool.sh: no gristmill-worker on PATH" >&2; exit 2; }
python=$(dirname "$worker")/python
exec "$python" -m apache_beam.runners.worker.worker_pool_main \
  --service_port "${1:-50000}" --container_executable "$worker"
