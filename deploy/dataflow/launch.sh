#!/usr/bin/env bash
# Build the flex template once, then launch it until OUTPUT/manifest.json exists. Each launch runs the next job
# (prepare, deduplicate, count words, publish); the fifth runs no job and writes report and manifest in the launcher.
#   deploy/dataflow/launch.sh build
#   deploy/dataflow/launch.sh launch NAME=VALUE...      (parameters of metadata.json, e.g. inputs=... output=gs://...)
set -euo pipefail
cd "$(dirname "$0")/../.."

: "${PROJECT:?set PROJECT, the Google Cloud project}"
: "${REGION:?set REGION, e.g. us-central1}"
: "${BUCKET:?set BUCKET, e.g. gs://my-bucket}"
: "${IMAGE:?set IMAGE, the worker image with its tag}"
TEMPLATE=$BUCKET/templates/gristmill.json
MACHINE=${MACHINE:-n2-highmem-4}
DISK_GB=${DISK_GB:-50}
MAX_WORKERS=${MAX_WORKERS:-100}

build() {
  docker build -f deploy/Dockerfile --target worker -t "$IMAGE" .
  docker build -f deploy/Dockerfile --target launcher -t "$IMAGE-launcher" .
  docker push "$IMAGE"
  docker push "$IMAGE-launcher"
  gcloud dataflow flex-template build "$TEMPLATE" --project "$PROJECT" --image "$IMAGE-launcher" \
    --sdk-language PYTHON --metadata-file deploy/dataflow/metadata.json
}

# The state of the run is stored in the output folder, so a launch continues where the previous one ended.
launch() {
  local parameters
  parameters=$(IFS='|'; echo "^|^sdk_container_image=$IMAGE|disk_size_gb=$DISK_GB|$*")
  gcloud dataflow flex-template run "gristmill-$(date +%Y%m%d-%H%M%S)" --project "$PROJECT" --region "$REGION" \
    --template-file-gcs-location "$TEMPLATE" --temp-location "$BUCKET/temp" --worker-machine-type "$MACHINE" \
    --max-workers "$MAX_WORKERS" --parameters "$parameters"
}

case ${1:-} in
  build) build ;;
  launch)
    shift
    launch "$@"
    ;;
  *)
    echo "usage: launch.sh build, or launch.sh launch NAME=VALUE..." >&2
    exit 2
    ;;
esac
