#!/usr/bin/env bash
# Executes every notebook of this folder from clean, in place. Needs cargo and python3.
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

if cargo install --list | grep -qxF "evcxr_jupyter v$evcxr_version:"; then
    kernel=$(command -v evcxr_jupyter || echo "${CARGO_HOME:-$HOME/.cargo}/bin/evcxr_jupyter")
else
    cargo install evcxr_jupyter --version "$evcxr_version" --locked --root "$cache/evcxr"
    kernel=$cache/evcxr/bin/evcxr_jupyter
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
    echo "run.sh: ${notebook##*/}"
    "$cache/venv/bin/jupyter" nbconvert --to notebook --execute --inplace --log-level WARN \
        --ExecutePreprocessor.record_timing=False         --ExecutePreprocessor.coalesce_streams=True "$notebook"
    if grep -q '"name": "stderr"' "$notebook" || grep -qF -e "$root" "$notebook"; then
        echo "run.sh: ${notebook##*/} stores a warning or a local path" >&2
        exit 1
    fi
done
