#!/usr/bin/env python3
"""Memory and time of `gleaner` by size: the table of docs/size.md.

    benches/sizes.py target/release/gleaner [ROWSxFEATURES ...]

Clusters in a .npy file, three classes; peak memory as the report says it and seconds of CPU time (all threads) of each command,
one process each. Needs numpy.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy

KINDS = {
    "random": "select {data} --keep 10% --method random --out {out}",
    "k-center": "select {data} --keep 10% --method k-center --out {out}",
    "convex": "select {data} --keep 10% --method convex --out {out}",
    "facility-location": "select {data} --keep 10% --method facility-location --out {out}",
    "gleaner": "select {data} --label label --keep 10% --out {out}",
    "audit": "audit {data} --label label --out {out}",
    "auto": "select {data} --label label --keep 10% --method auto --out {out}",
}
LARGEST = {"auto": 20_000}
CLASSES = 3


def clusters(folder, rows, features):
    rng = numpy.random.default_rng(0)
    centres = 3 * rng.normal(size=(3 * CLASSES, features))
    cluster = rng.integers(0, 3 * CLASSES, rows)
    points = centres[cluster] + rng.normal(size=(rows, features))
    numpy.save(f"{folder}/points.npy", points.astype("float32"))
    numpy.save(f"{folder}/label.npy", cluster % CLASSES)
    return f"{folder}/points.npy"


def measured(binary, words):
    before = os.times()
    run = subprocess.run([binary, *words, "--json"], capture_output=True, check=True)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(run.stdout)["peak_memory_bytes"] / 1e6, seconds


def main():
    binary, *sizes = sys.argv[1:]
    sizes = sizes or ["5000x20", "20000x20", "60000x20", "20000x100"]
    print("| rows x features | " + " | ".join(KINDS) + " |")
    print("| --- |" + " ---: |" * len(KINDS))
    for size in sizes:
        rows, features = map(int, size.split("x"))
        cells = []
        with tempfile.TemporaryDirectory() as folder:
            data = clusters(folder, rows, features)
            for kind, line in KINDS.items():
                if rows > LARGEST.get(kind, rows):
                    cells.append("-")
                    continue
                words = line.format(data=data, out=f"{folder}/out.csv").split()
                memory, seconds = measured(binary, words)
                cells.append(f"{memory:.0f} MB, {seconds:.1f} s")
        print(f"| {rows:,} x {features} | " + " | ".join(cells) + " |", flush=True)


main()
