#!/usr/bin/env python3
"""Says what is wrong with the notebooks of this folder as they are stored; executes nothing. Needs python3 alone.

Each must be a notebook in Rust that asks one question (its only first-level heading), executed from clean, in order and to
the end, with a picture and without a failure, a warning or a local path; small enough for a repository; on the same build
of the crate as the others, so that it is compiled once. A number in the prose must stand in the code or the outputs above it.
"""

import json
import pathlib
import re
import sys

LARGEST = 600_000  # bytes
LONGEST = 220  # lines of code
LOCAL = re.compile(r"/(?:home|root|tmp|work|Users|mnt|var/folders)/|[A-Z]:\\\\")
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")
QUOTED = re.compile(r"\$\$.*?\$\$|\$.*?\$|`.*?`|\]\(.*?\)", re.DOTALL)


def text(parts):
    return parts if isinstance(parts, str) else "".join(parts)


def numbers(words):
    return {number.rstrip(",").replace(",", "") for number in NUMBER.findall(words)}


def faults(path, gleaner):
    if path.stat().st_size > LARGEST:
        yield f"{path.stat().st_size} bytes, more than {LARGEST}"
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = [(cell["cell_type"], text(cell["source"]), cell) for cell in notebook["cells"]]
        language = notebook["metadata"]["kernelspec"]["language"]
    except (ValueError, KeyError, TypeError) as error:
        yield f"not a notebook: {error!r}"
        return
    if (notebook.get("nbformat"), language) != (4, "rust"):
        yield f"format {notebook.get('nbformat')} in {language}, not 4 in rust"
    prose = [source for kind, source, _ in cells if kind == "markdown"]
    titles = [line for source in prose for line in source.splitlines() if line.startswith("# ")]
    if len(titles) != 1 or not prose[0].startswith(titles[0]) or not titles[0].endswith("?"):
        yield f"one question as title of the first cell, found {titles}"
    code = [(source, cell) for kind, source, cell in cells if kind == "code"]
    lines = [line for source, _ in code for line in source.splitlines() if line.strip()]
    if len(lines) > LONGEST:
        yield f"{len(lines)} lines of code, more than {LONGEST}"
    gleaner.update(line for line in lines if line.startswith(":dep gleaner"))
    if not any(line.startswith(":dep gleaner") for line in lines):
        yield "no `:dep gleaner`"
    counts = [cell.get("execution_count") for _, cell in code]
    if None in counts or any(b != a + 1 for a, b in zip(counts, counts[1:])):
        yield f"not executed from clean, in order: {counts}"
    outputs = [output for _, cell in code for output in cell["outputs"]]
    for output in outputs:
        if output["output_type"] == "error" or output.get("name") == "stderr":
            yield f"a cell failed or warned: {text(output.get('text', output.get('evalue', '')))[:200]}"
    if not any("image/svg+xml" in output.get("data", {}) for output in outputs):
        yield "no picture"
    local = LOCAL.search(json.dumps(outputs))
    if local:
        yield f"an output holds a local path: {local.group()}"
    said = set()
    for kind, source, cell in cells:
        if kind == "code":
            printed = [text(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell["outputs"]]
            said |= numbers(source.replace("_", "")) | numbers("\n".join(printed))
        elif said:
            unsaid = sorted(numbers(QUOTED.sub(" ", source)) - said)
            if unsaid:
                yield f"numbers that no cell above has: {', '.join(unsaid)} (in {source.strip().splitlines()[0][:60]!r})"


def main():
    folder, gleaner, found = pathlib.Path(__file__).resolve().parent, set(), 0
    notebooks = sorted(folder.glob("*.ipynb"))
    for path in notebooks:
        for fault in faults(path, gleaner):
            print(f"{path.name}: {fault}", file=sys.stderr)
            found += 1
    if len(gleaner) > 1:
        print(f"the notebooks build the crate in {len(gleaner)} ways: {sorted(gleaner)}", file=sys.stderr)
        found += 1
    if not notebooks or found:
        sys.exit(f"check.py: {found} faults in {len(notebooks)} notebooks")
    print(f"check.py: {len(notebooks)} notebooks are as they should be")


main()
