#!/usr/bin/env bash
# Start a pool of Python workers on a node of Spark or Flink that has a virtual environment or a side-car container; then
# run `gristmill curate ... --environment external=localhost:PORT`.
#   deploy/spark/worker-pool.sh [PORT]
set -euo pipefail

worker=$(command -v gristmill-worker) || { echo "worker-pool.sh: no gristmill-worker on PATH" >&2; exit 2; }
python=$(dirname "$worker")/python
exec "$python" -m apache_beam.runners.worker.worker_pool_main \
  --service_port "${1:-50000}" --container_executable "$worker"
