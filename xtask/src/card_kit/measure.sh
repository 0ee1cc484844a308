#!/bin/bash
# Measures the GPUs of this machine. It needs glibc 2.35, libvulkan.so.1 and a driver, no network and no compiler.
#
#   measure FOLDER [STEP…]     all steps, or those that are named: identity host roofline bench files
#   ROWS=4000000               rows of the archive of `files`
#   ADAPTER=llvmpipe           the driver that `files` takes (the first card unless it is given)
#   SECONDS_OF_BENCH=300       how long `ebbline bench` may take (570 unless it is given)
#
# Of each step its output is in FOLDER/STEP.txt, of bench also bench.json and bench.html. It ends with 1 if a step failed;
# that bench left something out (exit 3) is no failure, and told in bench.txt.
set -u
unset CDPATH
kit=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: measure FOLDER [STEP…]}
shift
steps=${*:-identity host roofline bench files}
mkdir -p "$folder" && folder=$(cd "$folder" && pwd) || exit 1
export NODEVICE_SELECT=1
failed=0

# Scores a generated archive by the CPU and by a card, twice each, and compares every byte.
files() (
    set -e
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    # A software driver is named where there is no card.
    adapter=(${ADAPTER:+--adapter "$ADAPTER"})
    "$kit/generate" archive 1 "${ROWS:-4000000}" 2 3
    "$kit/ebbline" learn archive --out normal.baseline
    "$kit/ebbline" bench auto normal.baseline "${adapter[@]}"
    for run in 1 2; do
        "$kit/ebbline" score archive --baseline normal.baseline --out "cpu-$run" --backend cpu
        "$kit/ebbline" score archive --baseline normal.baseline --out "gpu-$run" --backend gpu "${adapter[@]}"
    done
    for other in gpu-1 cpu-2 gpu-2; do
        diff -r --exclude manifest.json cpu-1 "$other"
    done
    echo "scores and findings are equal, byte for byte"
)

step() {
    case $1 in
    identity) "$kit/identity" --nocapture --test-threads 2 ;;
    host) "$kit/host" ;;
    roofline) "$kit/roofline" ;;
    bench)
        "$kit/ebbline" bench --seconds "${SECONDS_OF_BENCH:-570}" --out "$folder/bench.json" --html "$folder/bench.html"
        local code=$?
        [ $code = 3 ] || return $code
        ;;
    files) files ;;
    *) echo "there is no step $1" && return 2 ;;
    esac
}

for name in $steps; do
    began=$SECONDS
    step "$name" >"$folder/$name.txt" 2>&1
    code=$?
    echo "== $name: exit $code after $((SECONDS - began)) s"
    tail -n 40 "$folder/$name.txt"
    [ $code = 0 ] || failed=1
done
exit $failed
