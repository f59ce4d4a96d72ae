"""What the scripts share: the lines of the results, as row.rs writes them, and the sizes of the epoch."""

import csv
import statistics

FIELDS = [
    "case", "n", "m", "p", "system", "set-up_ms",
    "forward_ms", "forward_low", "forward_high", "forward_repeats",
    "backward_ms", "backward_low", "backward_high", "backward_repeats",
    "objective", "gradient_error", "note",
]  # fmt: skip
# Both sides get as many.
THREADS = 2
# Those of epoch.rs.
BATCH, TRAINING = 40, 5_000


def summary(samples):
    """Median, quartiles and count, as ours.rs takes them."""
    ordered = sorted(samples)
    at = lambda share: ordered[int((len(ordered) - 1) * share + 0.5)]
    return {"ms": statistics.median(ordered), "low": at(0.25), "high": at(0.75), "repeats": len(ordered)}


def write(path, columns, rows):
    """Columns that a row lacks stay empty, others that it has are left out."""
    with open(path, "w", newline="") as table:
        writer = csv.DictWriter(table, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
