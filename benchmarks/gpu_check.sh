#!/usr/bin/env bash
# What needs a GPU, in one call of at most ten minutes: the tests marked gpu (parity in every precision among them), the
# training step against the plain way, and two minutes of training with the data on the device. Logs go to OUT.
#
#   bash benchmarks/gpu_check.sh OUT [DIR_DATA]          PYTHON: the interpreter, by default python3
set -uo pipefail
out=$(realpath -m "${1:?give a folder for the results}")
python=${PYTHON:-python3}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 PYTHONPATH=.
failed=0

run() { # name, seconds at most, command
    echo "== $1"
    timeout "$2" "${@:3}" 2>&1 | tee "$out/$1.log"
    local status=${PIPESTATUS[0]}
    [ "$status" -eq 0 ] || { echo "$1: exit code $status"; failed=1; }
}

# Without the project's configuration, which asks for versions of pytest and of its plugins.
run gpu_tests 200 "$python" -m pytest -q -m gpu -c /dev/null --rootdir . --import-mode importlib \
    -p no:cacheprovider -W ignore::pytest.PytestUnknownMarkWarning tests
run train_step 240 "$python" -m benchmarks.train_step --num_steps 20 --rounds 5 --out "$out/train_step_gpu.json"
if [ $# -gt 1 ]; then
    run two_minutes 150 "$python" main.py --template fast_x2 --cuda_graph --data_resident --dir_data "$2" \
        --data_range "${DATA_RANGE:-1-458/459-482}" --time_limit 2m --save two_minutes --reset --print_every 100
    cp experiment/two_minutes_*/metrics.jsonl "$out/two_minutes.jsonl"
fi
exit "$failed"
