#!/usr/bin/env bash
# The whole comparison on one CUDA GPU, unattended, in at most eight minutes.
#
#   benchmarks/gpu.sh --download FOLDER   on a machine with a network: the wheels of benchmarks/gpu_wheels.txt
#   benchmarks/gpu.sh FOLDER              on the GPU machine, with those wheels; saves benchmarks/results/gpu.json
#   benchmarks/gpu.sh --dry-run           every part on a CPU with tiny shapes, saved nowhere but where OUT says
#
# The GPU machine needs Python 3.12, torch 2.11, transformers 5.17, accelerate, peft, pandas and pyarrow, no network.
# OUT names another folder for the result; PYTHON another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
if [[ $# -lt 1 ]]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0"
  exit 2
fi

case "$1" in
  --download)
    platforms=()
    for glibc in 17 24 27 28 34; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
    exec "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
      "${platforms[@]}" --platform manylinux2014_x86_64 --dest "${2:?name a folder}" --requirement benchmarks/gpu_wheels.txt
    ;;
  --dry-run)
    export CUDA_VISIBLE_DEVICES=""
    export PYTHONPATH="$PWD/src"
    exec "$python" -m benchmarks.gpu --dry-run --out "${OUT:-$(mktemp -d)}"
    ;;
  *)
    packages="$(mktemp -d)"
    trap 'rm -rf "$packages"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$packages" "$1"/*.whl
    export PYTHONPATH="$PWD/src:$packages"
    export HF_HUB_OFFLINE=1 PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-expandable_segments:True}"
    # A part that does not fit into the time that is left is left out and named; this is for one that hangs.
    timeout 480 "$python" -m benchmarks.gpu --out "${OUT:-benchmarks/results}"
    ;;
esac
