#!/usr/bin/env bash
# Curate on a standalone, YARN or Kubernetes Spark cluster:
#   SPARK_MASTER=spark://HOST:7077 deploy/spark/submit.sh INPUT... --output s3://bucket/out [options of `gristmill curate`]
# This machine runs the driver: the executors connect to it, and SPARK_HOME must hold the cluster's Spark version.
set -euo pipefail

: "${SPARK_MASTER:?set SPARK_MASTER, e.g. spark://HOST:7077}"
WORKERS=${GRISTMILL_WORKERS:-process}        # Python workers: process[=COMMAND], external=HOST:PORT, docker=IMAGE
CORES=${SPARK_CORES:-}                       # cores of the whole cluster to use; empty: all
MEMORY=${SPARK_EXECUTOR_MEMORY:-2g}          # Java heap of an executor: keys and sketches, never text
OVERHEAD=${SPARK_PYTHON_MEMORY:-2g}          # its Python workers and their child processes: about 2g per core

if ! command -v gristmill >/dev/null; then
  echo "submit.sh: gristmill is not on PATH; activate the virtual environment that the nodes also have" >&2
  exit 2
fi

conf=(--spark-conf "spark.executor.memory=$MEMORY" --spark-conf "spark.executor.memoryOverhead=$OVERHEAD")
if [[ -n $CORES ]]; then
  # Three tasks per core balance units of unequal cost.
  conf+=(--spark-conf "spark.cores.max=$CORES" --spark-conf "spark.default.parallelism=$((3 * CORES))")
fi
exec gristmill curate "$@" --engine spark --spark-master "$SPARK_MASTER" --environment "$WORKERS" "${conf[@]}"
