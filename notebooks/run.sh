#!/usr/bin/env bash
# Executes the notebooks of this folder from clean, in place: all of them, or those named.
#
#   notebooks/run.sh [NAME...]        for example: notebooks/run.sh plateau conic_layer
#   GLEANER_DATA=DIR notebooks/run.sh
#   notebooks/run.sh --check          executes nothing, needs python3 alone: what check.py says of the notebooks as they are
#
# DIR is the folder that `--data` of the example `real_data` names; without it notebooks on real data stay as they are.
# A notebook with a failing cell is left as it was, and the script stops. Needs cargo and python3.
#
# The Rust kernel, a Python environment and the compiled dependencies stay under target/notebooks
# (or $NOTEBOOK_CACHE), so a second run only compiles the cells, and the notebooks share what the first one
# compiled. Nothing is written to the home folder.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname -- "$here")
if [[ ${1:-} == --check ]]; then
    exec python3 "$here/check.py"
fi
cache=${NOTEBOOK_CACHE:-$root/target/notebooks}
evcxr_version=0.22.0

shopt -s nullglob
notebooks=("$here"/*.ipynb)
if [[ $# -gt 0 ]]; then
    notebooks=()
    for name in "$@"; do
        name=${name##*/}
        notebooks+=("$here/${name%.ipynb}.ipynb")
    done
fi
for notebook in "${notebooks[@]}"; do
    if [[ ! -f $notebook ]]; then
        echo "run.sh: no notebook $notebook" >&2
        exit 1
    fi
done

mkdir -p -- "$cache"
cache=$(cd -- "$cache" && pwd -P)
if [[ -n ${GLEANER_DATA:-} ]]; then
    GLEANER_DATA=$(cd -- "$GLEANER_DATA" && pwd -P)
    export GLEANER_DATA
fi

wanted="evcxr_jupyter v$evcxr_version:"
if cargo install --list | grep -xF "$wanted" >/dev/null; then
    kernel=$(command -v evcxr_jupyter || echo "${CARGO_HOME:-$HOME/.cargo}/bin/evcxr_jupyter")
else
    kernel=$cache/evcxr/bin/evcxr_jupyter
    mkdir -p -- "$cache/evcxr"
    cargo install --list --root "$cache/evcxr" | grep -xF "$wanted" >/dev/null ||
        cargo install evcxr_jupyter --version "$evcxr_version" --locked --root "$cache/evcxr"
fi

if [[ ! -x $cache/venv/bin/jupyter-nbconvert ]]; then
    rm -rf -- "$cache/venv"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check jupyter nbconvert
fi

export JUPYTER_PATH=$cache/jupyter
export EVCXR_TMPDIR=$cache/evcxr-build
# candle 0.11 reads the number of cores anew for every product of matrices, and its own threads wait in busy loops.
export RAYON_NUM_THREADS=${RAYON_NUM_THREADS:-$(getconf _NPROCESSORS_ONLN)} CANDLE_NUM_THREADS=${CANDLE_NUM_THREADS:-1}
# The kernel builds for debugging otherwise: the same answers, later.
export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false
mkdir -p -- "$JUPYTER_PATH" "$EVCXR_TMPDIR"
"$kernel" --install >/dev/null

for notebook in "${notebooks[@]}"; do
    name=${notebook##*/}
    if [[ -z ${GLEANER_DATA:-} ]] && grep -q GLEANER_DATA "$notebook"; then
        echo "run.sh: $name stays as it is: it reads the folder that GLEANER_DATA names, and that is not set" >&2
        continue
    fi
    started=$SECONDS
    echo "run.sh: $name"
    "$cache/venv/bin/jupyter" nbconvert --to notebook --execute --output-dir "$cache/executed" \
        --log-level WARN --ExecutePreprocessor.record_timing=False "$notebook"
    # The kernel reports a panic or an Err in a cell on stderr only, and nbconvert lets that pass.
    "$cache/venv/bin/python" - "$cache/executed/$name" "$root" "$cache" "$HOME" "${GLEANER_DATA:-}" <<'PYTHON'
import sys
import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

path, *local = sys.argv[1:]
notebook, _ = CoalesceStreamsPreprocessor(enabled=True)(nbformat.read(path, 4), {})  # a stream, not one a line
outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
stderr = "".join(o.text for o in outputs if o.get("name") == "stderr")
if stderr:
    sys.exit(f"run.sh: a cell failed or warned:\n{stderr}")
if any(folder in str(outputs) for folder in local if len(folder) > 1):
    sys.exit("run.sh: an output holds a local path")
nbformat.write(notebook, path)
PYTHON
    mv -- "$cache/executed/$name" "$notebook"
    echo "run.sh: $name took $((SECONDS - started)) s"
done
python3 "$here/check.py"
