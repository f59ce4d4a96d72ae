#!/usr/bin/env bash
# Executes every notebook of this folder from clean, in place; a notebook with a failing cell is left
# as it was and the script stops. Needs cargo and python3.
#
# The Rust kernel, a Python environment and the compiled dependencies stay under target/notebooks
# (or $NOTEBOOK_CACHE), so a second run only compiles the cells. Nothing is written to the home folder.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname -- "$here")
cache=${NOTEBOOK_CACHE:-$root/target/notebooks}
evcxr_version=0.22.0

mkdir -p -- "$cache"
cache=$(cd -- "$cache" && pwd -P)

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
mkdir -p -- "$JUPYTER_PATH" "$EVCXR_TMPDIR"
"$kernel" --install >/dev/null

shopt -s nullglob
notebooks=("$here"/*.ipynb)
if [[ ${#notebooks[@]} -eq 0 ]]; then
    echo "run.sh: no notebook in $here" >&2
    exit 1
fi
for notebook in "${notebooks[@]}"; do
    name=${notebook##*/}
    echo "run.sh: $name"
    "$cache/venv/bin/jupyter" nbconvert --to notebook --execute --output-dir "$cache/executed" \
        --log-level WARN --ExecutePreprocessor.record_timing=False "$notebook"
    # The kernel reports a panic or an Err in a cell on stderr only, and nbconvert lets that pass.
    "$cache/venv/bin/python" - "$cache/executed/$name" "$root" "$cache" "$HOME" <<'PYTHON'
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
done
