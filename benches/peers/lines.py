"""What the scripts share: the lines of the results, as row.rs writes them, and the sizes of the epoch."""

import csv
import multiprocessing
import os
import queue
import statistics

FIELDS = [
    "case", "n", "m", "p", "system", "set-up_ms",
    "forward_ms", "forward_low", "forward_high", "forward_repeats",
    "backward_ms", "backward_low", "backward_high", "backward_repeats",
    "objective", "gradient_error", "note",
]  # fmt: skip
# Those of conic.rs.
CONIC_FIELDS = [
    "case", "batch", "system",
    "forward_ms", "forward_low", "forward_high", "forward_repeats",
    "backward_ms", "backward_low", "backward_high", "backward_repeats",
    "gradient_error", "difference", "set-up_ms", "note",
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


def quiet(log):
    """What a peer prints (dQP some lines a call) goes to the file `log` from here on."""
    with open(log, "a") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)


def in_its_own_process(work, arguments, limit):
    """What `work` puts into the queue that it gets after its arguments, or why there is nothing within `limit` seconds."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=work, args=(*arguments, results))
    child.start()
    try:
        return results.get(timeout=limit)
    except queue.Empty:
        if child.is_alive():
            return {"note": f"did not finish within {limit} s"}
        return {"note": f"its process ended with code {child.exitcode}"}
    finally:
        child.kill()
        child.join()
