#!/usr/bin/env bash
# The whole comparison on one CUDA GPU, unattended, in at most eight minutes.
#
#   benchmarks/gpu.sh --download FOLDER [UNSLOTH]   on a machine with a network: the wheels of benchmarks/gpu_wheels.txt,
#                                                   and into a second folder those of gpu_wheels_unsloth.txt
#   benchmarks/gpu.sh FOLDER [UNSLOTH]              on the GPU machine, with those wheels; saves gpu.json and
#                                                   foresight_gpu.json in benchmarks/results
#   benchmarks/gpu.sh --dry-run                     every part on a CPU with tiny shapes, saved only where OUT says
#
# The GPU machine needs Python 3.12, torch 2.11 for CUDA 13, transformers 5.17, accelerate, peft, pandas and pyarrow, no
# network. Without the second folder Unsloth is left out. OUT names another folder for the results; PYTHON another
# interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
if [[ $# -lt 1 ]]; then
  sed -n '2,13s/^# \{0,1\}//p' "$0"
  exit 2
fi

wheels_of() { # LIST FOLDER
  local platforms=()
  for glibc in 17 24 27 28 34; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    "${platforms[@]}" --platform manylinux2014_x86_64 --dest "$2" --requirement "$1"
  "$python" -m benchmarks.slim_wheels "$2"
}

installed() { # WHEELS FOLDER
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$2" "$1"/*.whl
}

case "$1" in
  --download)
    wheels_of benchmarks/gpu_wheels.txt "${2:?name a folder}"
    if [[ $# -gt 2 ]]; then wheels_of benchmarks/gpu_wheels_unsloth.txt "$3"; fi
    ;;
  --dry-run)
    export CUDA_VISIBLE_DEVICES=""
    export PYTHONPATH="$PWD/src"
    exec "$python" -m benchmarks.gpu --dry-run --out "${OUT:-$(mktemp -d)}"
    ;;
  *)
    packages="$(mktemp -d)"
    trap 'rm -rf "$packages"' EXIT
    installed "$1" "$packages/all"
    if [[ $# -gt 1 ]]; then
      installed "$2" "$packages/unsloth"
      export UNSLOTH_PACKAGES="$packages/unsloth"
    fi
    export PYTHONPATH="$PWD/src:$packages/all"
    export HF_HUB_OFFLINE=1 PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-expandable_segments:True}"
    # A part that does not fit into the time that is left is left out and named; the timeout is for one that hangs.
    # SECONDS is bash's own, since the script began.
    timeout $((480 - SECONDS)) "$python" -m benchmarks.gpu --out "${OUT:-benchmarks/results}" \
      --until $(($(date +%s) - SECONDS + 465))
    ;;
esac
