#!/usr/bin/env python3
"""Time and memory of `gleaner select` from 10,000 to 1,000,000 rows: the table and picture of docs/size.md.

    benches/growth.py target/release/gleaner [--quick] [--svg docs/growth.svg]

Rows of 64 numbers (200 clusters of unequal size, each on a plane of 8 dimensions, and noise), of which 10 % are kept, under
--memory-limit 500MB; 50,000 rows of 512, of which 500 are kept. Wall seconds of the whole command, median and range of three runs.
Needs numpy; matplotlib for the picture.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import time

import numpy

METHODS = ("k-center", "convex", "facility-location")
SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000)


def clusters(path, rows, features):
    rng = numpy.random.default_rng(0)
    count = 200
    centres = 3 * rng.normal(size=(count, features)).astype("float32")
    planes = 0.5 * rng.normal(size=(count, 8, features)).astype("float32")
    shares = rng.dirichlet(numpy.full(count, 0.5))
    table = numpy.lib.format.open_memmap(path, mode="w+", dtype="<f4", shape=(rows, features))
    for start in range(0, rows, 10_000):
        stop = min(rows, start + 10_000)
        of = rng.choice(count, size=stop - start, p=shares)
        within = rng.normal(size=(stop - start, 8)).astype("float32")
        noise = 0.3 * rng.normal(size=(stop - start, features)).astype("float32")
        table[start:stop] = centres[of] + numpy.einsum("nj,njd->nd", within, planes[of]) + noise
    table.flush()


def run(binary, data, method, keep, out):
    words = ["select", data, "--method", method, "--keep", keep, "--memory-limit", "500MB", "--out", out, "--no-page"]
    start = time.perf_counter()
    done = subprocess.run([binary, *words, "--json"], capture_output=True, check=True)
    return time.perf_counter() - start, json.loads(done.stdout)["peak_memory_bytes"] / 1e6


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("binary")
    flags.add_argument("--quick", action="store_true", help="one run of the small sizes")
    flags.add_argument("--svg")
    flags = flags.parse_args()
    sizes = [(rows, 64, "10%") for rows in SIZES] + [(50_000, 512, "500")]
    sizes, repeats = (sizes[:2], 1) if flags.quick else (sizes, 3)
    seconds = {method: [] for method in METHODS}
    print("| rows x features | kept | " + " | ".join(METHODS) + " |")
    print("| --- | ---: |" + " ---: |" * len(METHODS))
    for rows, features, keep in sizes:
        cells = []
        with tempfile.TemporaryDirectory() as folder:
            data, out = os.path.join(folder, "points.npy"), os.path.join(folder, "kept.npy")
            clusters(data, rows, features)
            for method in METHODS:
                times, memory = zip(*(run(flags.binary, data, method, keep, out) for _ in range(repeats)))
                middle = statistics.median(times)
                cells.append(f"{middle:.2f} s ({min(times):.2f} to {max(times):.2f}), {max(memory):.0f} MB")
                if features == 64:
                    seconds[method].append((rows, middle))
        print(f"| {rows:,} x {features} | {keep.replace('%', ' %')} | " + " | ".join(cells) + " |", flush=True)
    for method, points in seconds.items():
        (n, first), (m, last) = points[0], points[-1]
        print(f"{method}: seconds grow with rows to the power {math.log(last / first) / math.log(m / n):.2f}")
    if flags.svg:
        draw(seconds, flags.svg)


def draw(seconds, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "gleaner"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6))
    for (method, points), colour in zip(seconds.items(), ("#0b6e99", "#b3541e", "#4f7a28"), strict=True):
        axes.loglog(*zip(*points), marker="o", color=colour, label=method)
    (rows, _), start = seconds["convex"][0], min(points[0][1] for points in seconds.values())
    axes.loglog([rows, SIZES[-1]], [start, start * (SIZES[-1] / rows) ** 1.1], "--", color="#888888", label="power 1.1")
    axes.set(xlabel="rows of 64 features, 10 % kept", ylabel="seconds, two cores")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


main()
