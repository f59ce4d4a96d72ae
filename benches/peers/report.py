"""Joins the lines of both sides: prints a table, writes peers.csv, peers-spread.csv and peers.svg.

usage: report.py OUT-FOLDER LINES.csv...
"""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# Text as text: a fifth of the size, and readable by search.
matplotlib.rcParams["svg.fonttype"] = "none"
import matplotlib.pyplot as plt
from lines import BATCH, FIELDS, TRAINING, write

OURS = "gleaner"
EPOCH = "hostcp epoch"
COLUMNS = [
    "case", "n", "m", "p", "system", "forward_ms", "backward_ms", "set-up_ms", "objective", "gradient_error",
    "ratio_to_ours",
]  # fmt: skip


def number(text):
    return float(text) if text else None


def total(row):
    """Forward and backward; None where there is no forward time."""
    forward = number(row["forward_ms"])
    return None if forward is None else forward + (number(row["backward_ms"]) or 0.0)


def brief(value, digits=4):
    return "" if value is None else f"{value:.{digits}g}"


def rounded(value):
    """Three digits, never in powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratios(rows):
    ours = {row["case"]: total(row) for row in rows if row["system"] == OURS}
    for row in rows:
        mine, theirs = ours.get(row["case"]), total(row)
        row["ratio_to_ours"] = brief(theirs / mine) if mine and theirs else ""


def spread(row, part):
    value = number(row[f"{part}_ms"])
    if value is None:
        return ""
    low, high = number(row[f"{part}_low"]), number(row[f"{part}_high"])
    return f"{rounded(value)} ({rounded(low)}..{rounded(high)}, {row[f'{part}_repeats']}x)"


def show(rows):
    for case in dict.fromkeys(row["case"] for row in rows):
        lines = [row for row in rows if row["case"] == case]
        first = lines[0]
        print(f"\n{case}: n = {first['n']}, m = {first['m']}; median ms (quartiles, repeats)")
        width = max(len(row["system"]) for row in lines)
        if case.startswith(EPOCH):
            steps = TRAINING // BATCH
            for row in lines:
                step = number(row["forward_ms"])
                print(f"  {row['system']:{width}}  a step {spread(row, 'forward')}; {row['note']}")
                print(f"  {'':{width}}  {steps * step / 1e3:.1f} s an epoch of {TRAINING} images, extrapolated "
                      f"from the median; {row['ratio_to_ours']} times ours")  # fmt: skip
            continue
        heading = ["forward", "backward", "set-up", "gradient error", "x ours"]
        print(f"  {'':{width}}  {heading[0]:30} {heading[1]:30} {heading[2]:>9} {heading[3]:>14} {heading[4]:>9}")
        for row in lines:
            cells = f"{spread(row, 'forward'):30} {spread(row, 'backward'):30} {brief(number(row['set-up_ms']), 3):>9}"
            error = brief(number(row["gradient_error"]), 2)
            print(f"  {row['system']:{width}}  {cells} {error:>14} {row['ratio_to_ours']:>9}  {row['note']}".rstrip())


def draw(path, rows):
    """Forward plus backward of every system, a panel a case with peers in it."""
    rows = [row for row in rows if not row["case"].startswith(EPOCH) and total(row)]
    rows = [row for row in rows if number(row["backward_ms"]) is not None]
    cases = [case for case in dict.fromkeys(row["case"] for row in rows)
             if any(row["case"] == case and row["system"] != OURS for row in rows)]  # fmt: skip
    heights = [sum(row["case"] == case for row in rows) for case in cases]
    figure, panels = plt.subplots(
        len(cases), 1, sharex=True, squeeze=False, layout="constrained",
        figsize=(8.5, 0.9 + 0.3 * sum(heights) + 0.45 * len(cases)), height_ratios=[height + 0.5 for height in heights],
    )  # fmt: skip
    for panel, case in zip(panels[:, 0], cases, strict=True):
        lines = [row for row in rows if row["case"] == case][::-1]
        times = [total(row) for row in lines]
        colours = ["#0072B2" if row["system"] == OURS else "#555555" for row in lines]
        # Dots, not bars: a logarithmic axis has no zero for a bar to start from.
        panel.scatter(times, [row["system"] for row in lines], c=colours, s=36)
        panel.set_ylim(-0.6, len(lines) - 0.4)
        for height, (row, time) in enumerate(zip(lines, times, strict=True)):
            error = brief(number(row["gradient_error"]), 1)
            panel.text(time * 1.3, height, f"{rounded(time)} ms, error {error}", va="center", fontsize=8)
        first = lines[0]
        smooth = (
            "eps = 0 (a linear program: the true gradient is zero)"
            if case.endswith("eps0")
            else "eps = 0.1 median cost"
        )
        panel.set_title(f"n = {first['n']}, m = {first['m']}, p = {first['p']}, {smooth}", fontsize=10, loc="left")
        panel.set_xscale("log")
        plain(panel)
    lowest, highest = panels[0, 0].get_xlim()
    # Room for the numbers right of the last dot.
    panels[0, 0].set_xlim(lowest / 2, highest * 80)
    panels[-1, 0].set_xlabel("forward + backward, ms (log scale; left is better); error: of the gradient")
    figure.savefig(path)


def plain(panel):
    """A frame that keeps behind what it shows."""
    panel.grid(color="#dddddd")
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=9)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def read(files):
    """The lines of all files, one after the other."""
    rows = []
    for file in files:
        with open(file, newline="") as table:
            rows.extend(csv.DictReader(table))
    return rows


def main():
    folder, files = Path(sys.argv[1]), sys.argv[2:]
    rows = read(files)
    # Cases in the order in which they first appear, all systems of a case together.
    order = list(dict.fromkeys(row["case"] for row in rows))
    rows.sort(key=lambda row: order.index(row["case"]))
    ratios(rows)
    show(rows)
    for row in rows:
        for key in ("forward_ms", "backward_ms", "set-up_ms", "gradient_error"):
            row[key] = brief(number(row[key]))
        row["objective"] = brief(number(row["objective"]), 12)
    write(folder / "peers.csv", COLUMNS, rows)
    write(folder / "peers-spread.csv", FIELDS, rows)
    draw(folder / "peers.svg", rows)
    print(f"\nwrote {folder / 'peers.csv'}, {folder / 'peers-spread.csv'} and {folder / 'peers.svg'}")


if __name__ == "__main__":
    main()
