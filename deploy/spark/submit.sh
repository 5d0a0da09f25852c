#!/usr/bin/env bash
# Curate on a standalone, YARN or Kubernetes Spark cluster, as spark-submit would be called:
#   SPARK_MASTER=spark://HOST:7077 deploy/spark/submit.sh INPUT... --output s3://bucket/out [options of `gristmill curate`]
# This machine runs the driver, so the executors must reach it; SPARK_HOME must hold the cluster's Spark version.
set -euo pipefail

: "${SPARK_MASTER:?set SPARK_MASTER, e.g. spark://HOST:7077}"
WORKERS=${GRISTMILL_WORKERS:-process}        # Python workers: process[=COMMAND], external=HOST:PORT, docker=IMAGE
CORES=${SPARK_CORES:-}                       # cores of the whole cluster to use; empty: all
MEMORY=${SPARK_EXECUTOR_MEMORY:-2g}          # Java's part only: keys and sketches, never text
OVERHEAD=${SPARK_PYTHON_MEMORY:-2g}          # per core: the Python worker and its child with the models

if ! command -v gristmill >/dev/null; then
  echo "submit.sh: no gristmill here; activate the virtual environment that the nodes have too" >&2
  exit 2
fi

conf=(--spark-conf "spark.executor.memory=$MEMORY" --spark-conf "spark.executor.memoryOverhead=$OVERHEAD")
if [[ -n $CORES ]]; then
  # Three tasks a core even out units of unequal cost.
  conf+=(--spark-conf "spark.cores.max=$CORES" --spark-conf "spark.default.parallelism=$((3 * CORES))")
fi
exec gristmill curate "$@" --engine spark --spark-master "$SPARK_MASTER" --environment "$WORKERS" "${conf[@]}"
