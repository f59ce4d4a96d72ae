#!/usr/bin/env bash
# Times this library and other differentiable layers on the same problems, one after the other.
#
#   benches/peers/run.sh [--quick] [--large]
#   benches/peers/run.sh --selection [--quick]
#   benches/peers/run.sh --conic [--quick]
#
# --quick: fewer repeats and the small problems only.
# --large: also our own solver at sizes that no peer can take.
# --selection: selection strategies instead of layers; leaves target/gleaner/selection-peers.csv.
# --conic: general conic layers on other programs; leaves conic-peers.csv, conic-peers-spread.csv and conic-peers.svg there.
#
# DATA=DIR:       DIR holds cifar-10-batches-bin; noise images of the same shape, or clusters, without it.
# PEERS_ENV=DIR:  the Python environment; made if it is not there. Default: target/gleaner/peers-env.
#
# Leaves target/gleaner/peers.csv, peers-spread.csv (quartiles, repeats, notes) and peers.svg.
set -euo pipefail
cd "$(dirname "$0")/../.."

quick=()
large=()
selection=
conic=
for flag in "$@"; do
    case "$flag" in
    --quick) quick=(--quick) ;;
    --large) large=(--large) ;;
    --selection) selection=yes ;;
    --conic) conic=yes ;;
    *)
        echo "usage: benches/peers/run.sh [--quick] [--large | --selection | --conic]" >&2
        exit 2
        ;;
    esac
done
data=()
if [[ -n "${DATA:-}" ]]; then data=(--data "$(realpath "$DATA")"); fi

here=benches/peers
out=$PWD/target/gleaner # cargo runs a bench in its package's folder
work=$out/peers
environment=$(realpath -m "${PEERS_ENV:-$out/peers-env}")
mkdir -p "$work"

# The environment counts as made once everything is installed; half an installation is thrown away.
stamp=$(cat "$here"/requirements*.txt | sha256sum)
if [[ "$(cat "$environment/complete" 2>/dev/null || true)" != "$stamp" ]]; then
    echo "installing the peers into $environment"
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet -r "$here/requirements.txt"
    "$environment/bin/pip" install --quiet --no-deps -r "$here/requirements-without-dependencies.txt"
    echo "$stamp" >"$environment/complete"
fi

# Both sides get two threads. candle reads the number of cores anew for every matrix product unless told, and its own
# threads wait in busy loops on the cores that our operations work on.
export RAYON_NUM_THREADS=2 OMP_NUM_THREADS=2 CANDLE_NUM_THREADS=1
# Peers run on the CPU, and with the OpenBLAS kernels that this processor deserves.
export CUDA_VISIBLE_DEVICES=""
export PYTHONDONTWRITEBYTECODE=1
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

ours() { cargo bench --quiet -p gleaner-benches --bench peers -- "$@"; }
peer() {
    local script=$1
    shift
    "$environment/bin/python" -W ignore "$here/$script" "$@"
}

if [[ -n "$selection" ]]; then
    binary=$(cargo bench -p gleaner-benches --bench selection --no-run 2>&1 | sed -n 's/.*selection\.rs (\(.*\))$/\1/p')
    peer selection.py "$binary" "$work" "$out/selection-peers.csv" "${data[@]}" "${quick[@]}"
    exit
fi
if [[ -n "$conic" ]]; then
    ours() { cargo bench --quiet -p gleaner-benches --bench conic -- "$@"; }
    ours solve "$work" "$work/ours-conic.csv" "${quick[@]}"
    peer conic.py "$work" "$work/peers-conic.csv" "${quick[@]}"
    peer conic_report.py "$out" "$work/ours-conic.csv" "$work/peers-conic.csv"
    ours lines "${quick[@]}"
    exit
fi
cargo bench --quiet -p gleaner-benches --bench peers --no-run
ours write "$work"
ours solve "$work" "$work/ours.csv" "${quick[@]}" "${large[@]}"
peer peers.py "$work" "$work/peers.csv" "${quick[@]}"
ours epoch "$work/ours-epoch.csv" "${data[@]}" "${quick[@]}"
peer hostcp.py "$work/peers-epoch.csv" "${data[@]}" "${quick[@]}"
ours convolution "$work/convolution.csv" --python "$environment/bin/python" "${quick[@]}"
peer report.py "$out" "$work/ours.csv" "$work/peers.csv" "$work/ours-epoch.csv" "$work/peers-epoch.csv" \
    "$work/convolution.csv"
