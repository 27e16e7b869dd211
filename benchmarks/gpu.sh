#!/bin/sh
# Everything that needs a GPU, in one call within 10 minutes: builds ugodit.kernels._cuda, runs the tests marked gpu, NVIDIA's
# memory and race checkers on a small case, and the benchmarks.
#
#   benchmarks/gpu.sh [RESULTS_FOLDER]        default: benchmarks/results
#   benchmarks/gpu.sh --dry-run [FOLDER]      without a GPU: the same parts on this processor, small, nothing is recorded
#
# Needs Python with torch for CUDA, nvcc, cmake, ninja, pybind11, pytest, pytest-timeout (and h5py,
# scikit-image ... as ugodit does). sigpy and CuPy are timed where they are there, and compute-sanitizer is run. Nothing
# is fetched. PYTHON names the interpreter. Every part runs whatever became of the others; a summary ends the output,
# and the exit status is 1 if a part failed. The parts' limits add up to less than 10 minutes.
set -u
cd "$(dirname "$0")/.." || exit 1
dry=
if [ "${1:-}" = --dry-run ]; then
    dry=yes
    shift
fi
results=${1:-benchmarks/results}
if [ -n "$dry" ] && [ $# -eq 0 ]; then results=$(mktemp -d); fi
python=${PYTHON:-python3}
logs=$(mktemp -d)
summary=""
failed=0
mkdir -p "$results"
export UGODIT_REQUIRE_GPU=1 PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1

# part NAME SECONDS COMMAND...: runs it, keeps its log, notes the outcome.
part() {
    name=$1
    limit=$2
    shift 2
    echo "== $name"
    begin=$(date +%s)
    timeout "$limit" "$@" >"$logs/$name" 2>&1
    status=$?
    seconds=$(($(date +%s) - begin))
    tail -n 25 "$logs/$name"
    case $status in
    0) outcome=ok ;;
    124) outcome="FAILED (over $limit s)" ;;
    *) outcome="FAILED (exit $status)" ;;
    esac
    [ $status -eq 0 ] || failed=1
    summary="$summary$name: $outcome, $seconds s
"
    return $status
}

skipped() {
    summary="$summary$1: FAILED (not run: $2)
"
    failed=1
}

build() {
    # Only this GPU's architecture: the wheel's others are compiled in CI.
    architecture=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())') || return 1
    cmake -S . -B build/gpu -G Ninja -DPython_EXECUTABLE="$(command -v "$python")" -DUGODIT_CUDA=on \
        -DUGODIT_CUDA_HOST_TESTS=on -DUGODIT_CUDA_ARCHITECTURES="$architecture-real" &&
        cmake --build build/gpu && cmake --install build/gpu --prefix .
}

# A checker's own exit status, and its line on how many errors it found.
checked() {
    tool=$1
    command -v compute-sanitizer >/dev/null || {
        echo "compute-sanitizer is not on PATH"
        return 1
    }
    # Our kernels only, where this version can tell them apart: torch's own are slow to check, and not ours to mend.
    only=
    if compute-sanitizer --help | grep -q -- --kernel-name; then only="--kernel-name kernel_substring=ugodit"; fi
    # shellcheck disable=SC2086
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$tool" --error-exitcode 9 $only \
        "$python" tests/cuda/small_case.py cuda
}

case ${UGODIT_GPU_PART:-} in
build)
    build
    exit
    ;;
memcheck | racecheck)
    checked "$UGODIT_GPU_PART"
    exit
    ;;
esac

if [ -n "$dry" ]; then
    # ugodit.kernels._cpu and ugodit.kernels._cuda_host must be there already.
    unset UGODIT_REQUIRE_GPU
    part tests 120 "$python" -m pytest tests/cuda tests/fit/test_execution.py -m gpu -q -p no:cacheprovider
    part kernels 60 "$python" benchmarks/bench_sense_gpu.py --device cpu
    part adaptation 60 "$python" benchmarks/bench_adaptation.py --device cpu --small --count 3
    part calibration 60 "$python" benchmarks/bench_calibration_gpu.py --device cpu --small
    part small-case 60 "$python" tests/cuda/small_case.py cpu
    printf '%s' "$summary"
    exit $failed
fi

part device 10 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
if part build 130 env UGODIT_GPU_PART=build sh benchmarks/gpu.sh; then
    part tests 110 "$python" -m pytest tests/cuda tests/fit/test_execution.py -m gpu -q -p no:cacheprovider
    part kernels 60 "$python" benchmarks/bench_sense_gpu.py --out "$results/sense_gpu.json"
    part adaptation 110 "$python" benchmarks/bench_adaptation.py --out "$results/adaptation_gpu.json"
    part calibration 45 "$python" benchmarks/bench_calibration_gpu.py --out "$results/calibration_gpu.json"
    part memcheck 50 env UGODIT_GPU_PART=memcheck sh benchmarks/gpu.sh
    part racecheck 50 env UGODIT_GPU_PART=racecheck sh benchmarks/gpu.sh
else
    for name in tests kernels adaptation calibration memcheck racecheck; do skipped "$name" "the build failed"; done
fi

{
    date -u +%Y-%m-%d
    printf '%s' "$summary"
} | tee "$results/gpu_summary.txt"
echo "logs: $logs"
exit $failed
