"""Times selection strategies, ours and others', on the same features, and prints one table.

usage: selection.py BINARY FOLDER OUT.csv [--data DIR] [--quick]
       selection.py --one SYSTEM TABLE POINTS COUNT OUT.txt

BINARY is our bench `selection`; every system runs in a process of its own, from features in memory to indices,
and says its milliseconds and its peak memory (interpreter and features included); CPU_s is the processor time of the
whole process, start and reading included, which a loaded machine does not stretch. The objective of facility
location is evaluated for all by one function over the complete kernel; that of k-center is the covering radius.
"""

import csv
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

NEIGHBOURS = 32
# A kernel nearer to the complete one, where others have that.
MANY = f"gleaner, {16 * NEIGHBOURS} neighbours"
# Seconds after which a system is given up.
PATIENCE = 300
FIELDS = [
    "case", "points", "width", "count", "system", "seconds", "CPU_s", "peak_MiB", "objective", "ratio_to_ours",
    "note"]  # fmt: skip


# Other systems: features (and how many) in, indices out.


def apricot(rows, count, neighbours=None):
    from apricot import FacilityLocationSelection
    from sklearn.neighbors import kneighbors_graph

    if neighbours is None:
        return FacilityLocationSelection(count, metric="cosine", optimizer="lazy").fit(rows).ranking
    # Its own n_neighbors fails for the cosine ("no attribute 'toarray'"), so the graph is made beforehand.
    graph = kneighbors_graph(rows, neighbours, mode="distance", metric="cosine", include_self=True, n_jobs=2)
    graph.data = np.maximum(1 - graph.data, 0)
    graph = graph.maximum(graph.T).tocsr()
    return FacilityLocationSelection(count, metric="precomputed", optimizer="lazy").fit(graph).ranking


def submodlib(rows, count, neighbours=None):
    from submodlib import FacilityLocationFunction

    kind = {"mode": "sparse", "num_neighbors": neighbours} if neighbours else {"mode": "dense"}
    function = FacilityLocationFunction(n=len(rows), data=rows, metric="cosine", **kind)
    return [i for i, _ in function.maximize(budget=count, optimizer="LazyGreedy", show_progress=False)]


def running_minimum(rows, count, start=0):
    """k-center as a few lines of numpy: squared norms once, one product of matrix and vector a centre."""
    squares = np.einsum("ij,ij->i", rows, rows)
    nearest, chosen = np.full(len(rows), np.inf, rows.dtype), [start]
    while len(chosen) < count:
        centre = chosen[-1]
        np.minimum(nearest, squares + squares[centre] - 2 * (rows @ rows[centre]), out=nearest)
        nearest[centre] = -np.inf
        chosen.append(int(nearest.argmax()))
    return chosen


def whole_matrix(rows, count, start=0):
    """k-center with the matrix of distances from all chosen to all points, and its minimum before each choice."""
    squares = np.einsum("ij,ij->i", rows, rows)
    matrix, chosen = np.empty((count, len(rows)), rows.dtype), [start]
    while len(chosen) < count:
        centre = chosen[-1]
        matrix[len(chosen) - 1] = squares + squares[centre] - 2 * (rows @ rows[centre])
        nearest = matrix[: len(chosen)].min(0)
        nearest[chosen] = -np.inf
        chosen.append(int(nearest.argmax()))
    return chosen


def entropy(rows, count):
    p = rows.astype(np.float64)
    scores = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(1)
    return np.argsort(-scores, kind="stable")[:count]


def forgetting(right, count):
    events = (right[:-1] & ~right[1:]).sum(0)
    return np.argsort(-np.where(right.any(0), events, len(right)), kind="stable")[:count]


SYSTEMS = {
    "apricot, dense": apricot,
    f"apricot, {NEIGHBOURS} neighbours": lambda rows, count: apricot(rows, count, NEIGHBOURS),
    "submodlib, dense": submodlib,
    f"submodlib, {NEIGHBOURS} neighbours": lambda rows, count: submodlib(rows, count, NEIGHBOURS),
    "numpy, running minimum": running_minimum,
    "numpy, matrix": whole_matrix,
    "numpy entropy": entropy,
    "numpy forgetting": forgetting,
}


# Common judges.


def represented(rows, chosen):
    """sum_i max_j max(0, cos(i, j)) over the chosen j, all pairs, in blocks."""
    unit = rows.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-300)
    blocks = (unit[at : at + 4096] for at in range(0, len(unit), 4096))
    return sum(np.maximum((block @ unit[chosen].T).max(1), 0).sum() for block in blocks)


def radius(rows, chosen):
    """The largest distance of a point from the nearest chosen one."""
    rows = rows.astype(np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    largest = 0.0
    for at in range(0, len(rows), 1024):
        block = squares[at : at + 1024, None] + squares[chosen] - 2 * (rows[at : at + 1024] @ rows[chosen].T)
        largest = max(largest, block.min(1).max())
    return np.sqrt(largest)


def table(path, points, kind=np.float32):
    return np.fromfile(path, kind).reshape(points, -1)


def one(system, path, points, count, out):
    """Runs a system in this process."""
    points, count = int(points), int(count)
    if "forgetting" in system:
        rows = np.fromfile(path, np.uint8).reshape(-1, points).astype(bool)
    else:
        rows = table(path, points)
    if system in ("apricot, dense", f"apricot, {NEIGHBOURS} neighbours"):
        # Its first call compiles: not counted.
        SYSTEMS[system](rows[:200], 5)
    start = time.perf_counter()
    chosen = SYSTEMS[system](rows, count)
    milliseconds = (time.perf_counter() - start) * 1e3
    Path(out).write_text("\n".join(str(int(i)) for i in chosen))
    print(milliseconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def run(command, out):
    """Seconds, of the processor too, MiB, indices and why there are none."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return None, None, None, None, f"given up after {PATIENCE} s"
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return None, None, None, None, f"exit {done.returncode}: {reason}"
    milliseconds, peak = map(float, done.stdout.split()[-2:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return milliseconds / 1e3, processor, peak, [int(i) for i in Path(out).read_text().split()], ""


def compare(case, ours, path, points, count, systems, judge, folder):
    """Lines of one case, ours first."""
    lines, out = [], folder / "chosen.txt"
    first = None
    for system in ["gleaner", *systems]:
        if system in ("gleaner", MANY):
            command = [*ours, str(path), str(points), str(count), str(out)]
            command += ["--neighbours", str(16 * NEIGHBOURS)] if system == MANY else []
        else:
            command = [sys.executable, "-W", "ignore", __file__, "--one", system, path, str(points), str(count), out]
        seconds, processor, peak, chosen, note = run(command, out)
        line = {"case": case, "points": points, "count": count, "system": system, "note": note}
        if chosen is not None:
            first = first or (seconds, chosen)
            line |= {"seconds": f"{seconds:.4g}", "CPU_s": f"{processor:.4g}", "peak_MiB": f"{peak:.0f}"}
            line["ratio_to_ours"] = f"{seconds / first[0]:.3g}"
            if judge is None:
                line["note"] = "" if system == "gleaner" else "equal" if chosen == first[1] else "NOT EQUAL"
            else:
                rows = table(path, points)
                line |= {"width": rows.shape[1], "objective": f"{judge(rows, chosen):.9g}"}
        lines.append(line)
        shown = (line.get(field, "") for field in FIELDS)
        print("  ".join(f"{value!s:>{width}}" for value, width in zip(shown, WIDTHS)), flush=True)
    return lines


WIDTHS = [17, 6, 5, 5, 24, 8, 8, 8, 12, 13, 4]


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--quick"]
    quick = len(arguments) < len(sys.argv) - 1
    data = []
    if "--data" in arguments:
        at = arguments.index("--data")
        data = arguments[at : at + 2]
        del arguments[at : at + 2]
    binary, folder, out = arguments[0], Path(arguments[1]), Path(arguments[2])
    folder.mkdir(parents=True, exist_ok=True)
    sparse = [f"apricot, {NEIGHBOURS} neighbours", f"submodlib, {NEIGHBOURS} neighbours"]
    print("  ".join(f"{field:>{width}}" for field, width in zip(FIELDS, WIDTHS)))
    lines = []

    def write(points, width, source):
        path = folder / f"{points}x{width}.f32"
        subprocess.run([binary, "write", path, str(points), str(width), *source], check=True)
        return path

    def ours(strategy):
        return [binary, "choose", strategy]

    sizes = [(2_000, 200)] if quick else [(10_000, 1_000), (60_000, 2_000)]
    for points, count in sizes:
        path = write(points, 192 if data else 64, data)
        # The complete kernel of 60,000 points takes 29 GB in the f64 that both work in.
        dense = ["apricot, dense", "submodlib, dense"] if points <= 10_000 else []
        systems = [MANY, *dense, *sparse]
        lines += compare(
            "facility-location", ours("facility-location"), path, points, count, systems, represented, folder
        )
    sizes = [(2_000, 200)] if quick else [(10_000, 1_000), (50_000, 5_000)]
    for points, count in sizes:
        path = write(points, 512, [])
        # The matrix is read anew before each choice: 5,000 times up to 1 GB.
        systems = ["numpy, running minimum"] + (["numpy, matrix"] if points <= 10_000 else [])
        lines += compare("k-center", ours("k-center"), path, points, count, systems, radius, folder)
    points = 2_000 if quick else 60_000
    random = np.random.default_rng(0)
    path = folder / "probabilities.f32"
    random.dirichlet(np.full(10, 0.1), points).astype(np.float32).tofile(path)
    lines += compare("entropy", ours("entropy"), path, points, points // 10, ["numpy entropy"], None, folder)
    path = folder / "history.u8"
    (random.random((20, points)) < random.random(points)).astype(np.uint8).tofile(path)
    lines += compare("forgetting", ours("forgetting"), path, points, points // 10, ["numpy forgetting"], None, folder)
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    print(f"\nwrote {out}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
    else:
        main()
