#!/usr/bin/env bash
# Starts `uspnb run` with the environment that must be there before anything imports JAX.
#   deploy/run_predictor.sh --config config.toml --source sea --device gpu --pool-size 100 --monitor-interval 300
# All arguments go to `uspnb run`.  What the environment already holds stays; USPNB names the program.
set -euo pipefail

# A pool of 70 % of a GPU leaves room for others on it.  JAX refuses both spellings at once; the older one still works.
if [[ -z "${XLA_CLIENT_MEM_FRACTION:-}" ]]; then
    export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.7}"
fi
# "platform" takes and gives back each array by itself: nothing fragments, and the fraction above has no effect.
export XLA_PYTHON_CLIENT_ALLOCATOR="${XLA_PYTHON_CLIENT_ALLOCATOR:-platform}"
# Of no effect on JAX (docs/determinism.md); kept for a TensorFlow in the same container.
export TF_FORCE_GPU_ALLOW_GROWTH="${TF_FORCE_GPU_ALLOW_GROWTH:-true}"
# One host thread for XLA: faster for small graphs, and jaxlib can deadlock with two.
export PJRT_NPROC="${PJRT_NPROC:-1}"
export PYTHONUNBUFFERED=1 PYTHONUTF8=1

echo "[INFO] GPU memory: allocator ${XLA_PYTHON_CLIENT_ALLOCATOR}," \
    "fraction ${XLA_CLIENT_MEM_FRACTION:-${XLA_PYTHON_CLIENT_MEM_FRACTION:-}} (allocators with a pool)" >&2

# exec: signals reach the service itself, and its exit code is the script's.
exec "${USPNB:-uspnb}" run "$@"
