#!/usr/bin/env python3
"""Writes benches/results.md from what criterion left: run `cargo bench -p gleaner-benches` first, some five minutes.

    benches/stored.py [TARGET]
"""

import json
import os
import pathlib
import platform
import subprocess
import sys


def machine():
    facts = subprocess.run(["lscpu"], capture_output=True, text=True).stdout.splitlines()
    facts = dict(line.split(":", 1) for line in facts if ":" in line)
    memory = next(line for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1]
    return (
        f"{facts['Model name'].strip()}, {os.cpu_count()} threads, {int(memory.split()[1]) / 2**20:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Rust {rust}"
    )


def said(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return "0"


def main():
    root = pathlib.Path(__file__).parent.parent
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CARGO_TARGET_DIR", root / "target"))
    rows = []
    for path in sorted((target / "criterion").glob("**/new/benchmark.json")):
        name = json.loads(path.read_text())["full_id"]
        estimates = json.loads((path.parent / "estimates.json").read_text())
        median = estimates["median"]
        interval = median["confidence_interval"]
        low, high = said(interval["lower_bound"]), said(interval["upper_bound"])
        rows.append((name, said(median["point_estimate"]), f"{low} to {high}"))
    lines = [
        "# What `cargo bench` found",
        "",
        f"{machine()}.",
        "Medians by criterion, and their 95 % intervals; the machine is shared, so runs differ by a tenth or more.",
        "`benches/stored.py` writes this page.",
        "",
        "| benchmark | median | interval |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {median} | {interval} |" for name, median, interval in rows),
    ]
    (root / "benches" / "results.md").write_text("\n".join(lines) + "\n")


main()
