"""Joins the lines of both sides of the conic comparison: prints a table for the docs, writes conic-peers.csv,
conic-peers-spread.csv and conic-peers.svg.

usage: conic_report.py OUT-FOLDER LINES.csv...
"""

import sys
from pathlib import Path

from lines import CONIC_FIELDS, write
from report import brief, number, plain, plt, read, rounded, total

OURS = "gleaner"
COLUMNS = ["case", "batch", "system", "forward_ms", "backward_ms", "gradient_error"]
# System, colour, marker.
DRAWN = [(OURS, "#0072B2", "o"), ("Moreau", "#D55E00", "s"), ("cvxpylayers", "#555555", "D")]


def find(rows, case, batch, system):
    found = (row for row in rows if (row["case"], row["batch"], row["system"]) == (case, batch, system))
    return next(found, None)


def times(row):
    """Forward + backward, or why there is none."""
    if row is None:
        return ""
    if total(row) is None:
        return row["note"].split(":")[0]
    return f"{rounded(number(row['forward_ms']))} + {rounded(number(row['backward_ms']))}"


def ratio(row, ours):
    return f"{rounded(total(row) / total(ours))}" if row and total(row) else ""


def show(rows):
    """Markdown: a line a case and batch."""
    print("| case | batch | gleaner | Moreau | x | cvxpylayers | x | gradient errors |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for case, batch in dict.fromkeys((row["case"], row["batch"]) for row in rows):
        ours, moreau, cvxpylayers = (find(rows, case, batch, system) for system, _, _ in DRAWN)
        if ours is None:
            continue
        errors = [brief(number(row["gradient_error"]), 1) if row else "" for row in (ours, moreau, cvxpylayers)]
        cells = [
            case, batch, times(ours), times(moreau), ratio(moreau, ours), times(cvxpylayers), ratio(cvxpylayers, ours),
            ", ".join(error or "-" for error in errors),
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")
    for row in rows:
        if row["system"] in (OURS, "Moreau", "cvxpylayers") and total(row) is not None:
            continue
        shown = f"{row['case']}, {row['batch']}: {row['system']}:"
        parts = [number(row[key]) for key in ("forward_ms", "backward_ms", "gradient_error")]
        print(shown, " / ".join(brief(part, 3) for part in parts if part is not None), row["note"])


def draw(path, rows):
    """Forward plus backward a program, a line a case, a panel a batch."""
    rows = [row for row in rows if row["backward_ms"]]
    batches = sorted({int(row["batch"]) for row in rows})
    cases = list(dict.fromkeys(row["case"] for row in rows))[::-1]
    size = (4.6 * len(batches) + 1, 0.9 + 0.32 * len(cases))
    figure, panels = plt.subplots(1, len(batches), sharey=True, squeeze=False, layout="constrained", figsize=size)
    for panel, batch in zip(panels[0], batches, strict=True):
        for system, colour, marker in DRAWN:
            own = [row for row in rows if row["system"] == system and int(row["batch"]) == batch]
            places = [cases.index(row["case"]) for row in own]
            panel.scatter([total(row) / batch for row in own], places, c=colour, marker=marker, s=30, label=system)
        panel.set_title("one program" if batch == 1 else f"a program, in a batch of {batch}", fontsize=10, loc="left")
        panel.set_yticks(range(len(cases)), cases)
        panel.set_xscale("log")
        panel.set_xlabel("forward + backward, ms (log scale; left is better)", fontsize=9)
        plain(panel)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path)


def main():
    folder, files = Path(sys.argv[1]), sys.argv[2:]
    rows = read(files)
    # Cases in the order in which they first appear, batches in that of their size, all systems of both together.
    order = list(dict.fromkeys(row["case"] for row in rows))
    rows.sort(key=lambda row: (order.index(row["case"]), int(row["batch"])))
    show(rows)
    for row in rows:
        for key in ("forward_ms", "backward_ms", "set-up_ms", "gradient_error", "difference"):
            row[key] = brief(number(row[key]))
    write(folder / "conic-peers.csv", COLUMNS, rows)
    write(folder / "conic-peers-spread.csv", CONIC_FIELDS, rows)
    draw(folder / "conic-peers.svg", rows)
    print(f"\nwrote {folder / 'conic-peers.csv'}, conic-peers-spread.csv and conic-peers.svg")


if __name__ == "__main__":
    main()
