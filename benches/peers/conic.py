"""Times other general conic layers on the programs that conic.rs wrote, and writes a CSV like its own.

usage: conic.py FOLDER OUT.csv [--quick] [--only CASE] [--system NAME]

cvxpylayers gets the problems in its own language, below. Moreau's torch front end takes no problems but matrices: it
gets the program that our modelling compiled, and the parameters go into it by one sparse product.
"""

import argparse
import csv
import time
import traceback
from pathlib import Path

import cvxpy as cp
import moreau
import moreau.torch
import numpy as np
import scipy.sparse as sp
import torch
from cvxpylayers.torch import CvxpyLayer
from lines import CONIC_FIELDS, THREADS, in_its_own_process, quiet, summary, write

# Seconds after which a system is given up on a case, set-up included.
LIMIT = 60


class Case:
    """A case as conic.rs wrote it; its numbers are read when they are asked for."""

    def __init__(self, folder, name, lines):
        self.folder, self.name, self.batch = folder, name, int(lines[0]["batch"])
        dims = lambda kind: {
            line["name"]: tuple(int(d) for d in line["dims"].split("x") if d) for line in lines if line["kind"] == kind
        }
        self.parameters, self.constants, self.variables = dims("parameter"), dims("constant"), dims("variable")

    def numbers(self, what):
        return np.fromfile(self.folder / f"{self.name}-{what}", dtype="<f8")

    def whole(self, what):
        return self.numbers(what).astype(np.int64)

    def constant(self, name):
        return self.numbers(name).reshape(self.constants[name])

    def tensors(self, count):
        """The parameters of so many programs; `None` for one without a batch's dimension."""
        every = lambda name, dims: torch.tensor(self.numbers(name).reshape(self.batch, *dims))
        every = {name: every(name, dims) for name, dims in self.parameters.items()}
        return [tensor[0] if count is None else tensor[:count] for tensor in every.values()]

    @property
    def width(self):
        return sum(int(np.prod(dims)) for dims in self.variables.values())

    @property
    def layers(self):
        return PROBLEMS[self.name]


# The problems, as functions from parameters and constants, by name, to (problem, variables).


def markowitz(forecast, factors, own_risk, before):
    hold = cp.Variable(12)
    risk = cp.sum_squares(factors @ hold) + cp.sum_squares(cp.multiply(own_risk, hold))
    trade = hold - before
    costs = 0.002 * cp.norm1(trade) + 0.02 * cp.sum(cp.power(cp.abs(trade), 1.5))
    return cp.Problem(cp.Maximize(forecast @ hold - 5 * risk - costs), [cp.sum(hold) == 1, hold >= 0]), [hold]


def quadratic(q, P):
    x = cp.Variable(100)
    objective = 0.5 * cp.quad_form(x, cp.psd_wrap(P)) + q @ x
    return cp.Problem(cp.Minimize(objective), [x >= 0, x <= 1, cp.sum(x) == 10]), [x]


def ball(root, p, radius):
    x = cp.Variable(5)
    return cp.Problem(cp.Minimize(0.5 * cp.sum_squares(root @ x) + p @ x), [cp.norm2(x) <= radius]), [x]


def least_squares(a, b, weight):
    x = cp.Variable(20)
    return cp.Problem(cp.Minimize(cp.sum_squares(a @ x - b) + weight * cp.sum_squares(x))), [x]


def logistic(points, labels):
    w = cp.Variable(2)
    loss = cp.sum(cp.logistic(-cp.multiply(labels, points @ w))) / 30 + 0.05 * cp.sum_squares(w)
    return cp.Problem(cp.Minimize(loss)), [w]


def entropy(f, g):
    x = cp.Variable(50)
    return cp.Problem(cp.Maximize(cp.sum(cp.entr(x))), [f @ x <= g, cp.sum(x) == 1]), [x]


def top_k(p):
    x = cp.Variable(100)
    objective = p @ x + cp.sum(cp.entr(x)) + cp.sum(cp.entr(1 - x))
    return cp.Problem(cp.Maximize(objective), [cp.sum(x) == 10]), [x]


def regulator(root, free, b, bound=None):
    u, after = cp.Variable(b.shape[1]), cp.Variable(b.shape[0])
    constraints = [after == free + b @ u] + ([cp.norm_inf(u) <= bound] if bound else [])
    return cp.Problem(cp.Minimize(cp.sum_squares(u) + cp.sum_squares(root @ after)), constraints), [u, after]


def isotonic(p):
    x = cp.Variable(100)
    return cp.Problem(cp.Minimize(cp.sum_squares(x - p)), [x[1:] >= x[:-1]]), [x]


def denoise(p, weight):
    x = cp.Variable(100)
    return cp.Problem(cp.Minimize(cp.sum_squares(x - p) + weight * cp.norm1(x[1:] - x[:-1]))), [x]


def transport(c):
    t = cp.Variable((10, 10))
    objective = cp.sum(cp.multiply(c, t)) - 0.2 * cp.sum(cp.entr(t))
    return cp.Problem(cp.Minimize(objective), [cp.sum(t, axis=1) == 1, cp.sum(t, axis=0) == 1]), [t]


def semidefinite(c):
    x = cp.Variable((3, 3), symmetric=True)
    return cp.Problem(cp.Minimize(cp.trace(c @ x)), [x >> 0, cp.trace(x) == 1]), [x]


def capped_simplex(c):
    x = cp.Variable(1000)
    return cp.Problem(cp.Minimize(c @ x), [cp.sum(x) == 100, x >= 0, x <= 1]), [x]


def sparse(q, b, a):
    x = cp.Variable(10_000)
    a = sp.csr_array((a[:, 2], (a[:, 0].astype(int), a[:, 1].astype(int))), (3000, 10_000))
    return cp.Problem(cp.Minimize(0.5 * cp.sum_squares(x) + q @ x), [a @ x == b, x >= 0, x <= 1]), [x]


PROBLEMS = {
    "markowitz-12": markowitz,
    "qp-100": quadratic,
    "ball-5": ball,
    "least-squares-100x20": least_squares,
    "logistic-30x2": logistic,
    "entropy-50": entropy,
    "top-k-100": top_k,
    "policy-4": regulator,
    "control-8": lambda root, free, b: regulator(root, free, b, 0.3),
    "isotonic-100": isotonic,
    "denoise-100": denoise,
    "transport-10x10": transport,
    "sdp-3": semidefinite,
    "lp-1000": capped_simplex,
    "sparse-10000": sparse,
}


# Each of the following builds a function from parameters, a list, to outputs, a row a program.


def cvxpylayer(case, count, arguments):
    """The cvxpylayers front end with diffcp, its default backend on a CPU."""
    signed = {"nonneg": True}
    parameters = {name: cp.Parameter(dims, **(signed if name == "weight" else {})) for name, dims in case.parameters.items()}
    constants = {name: case.constant(name) for name in case.constants}
    problem, variables = PROBLEMS[case.name](**parameters, **constants)
    layer = CvxpyLayer(problem, parameters=list(parameters.values()), variables=variables, solver_args=arguments)
    rows = count or 1
    return lambda given: torch.cat([part.reshape(rows, -1) for part in layer(*given)], 1)


class Affine(torch.autograd.Function):
    """`constant + M theta` for every row theta; scipy's sparse product, as torch's is slow on a CPU."""

    @staticmethod
    def forward(ctx, theta, matrix, constant):
        ctx.matrix = matrix
        return torch.from_numpy((matrix @ theta.numpy().T).T + constant)

    @staticmethod
    def backward(ctx, upstream):
        return torch.from_numpy((ctx.matrix.T @ upstream.numpy().T).T), None, None


# Moreau's order of cones; its numbers are those of conic_cases.rs.
ZERO, NONNEGATIVE, SECOND_ORDER, EXPONENTIAL, POWER, SEMIDEFINITE = range(6)


def cones_and_order(case):
    """Moreau's cones, and our row of each of its rows."""
    kinds, start, rows = [], 0, {kind: [] for kind in range(6)}
    for kind, size in case.numbers("cones").reshape(-1, 2):
        length = {POWER: 3, SEMIDEFINITE: size * (size + 1) / 2}.get(int(kind), size)
        kinds.append((int(kind), size))
        rows[int(kind)].extend(range(start, start + int(length)))
        start += int(length)
    of = lambda wanted: [size for kind, size in kinds if kind == wanted]
    cones = moreau.Cones(
        num_zero_cones=int(sum(of(ZERO))),
        num_nonneg_cones=int(sum(of(NONNEGATIVE))),
        so_cone_dims=[int(size) for size in of(SECOND_ORDER)],
        num_exp_cones=len(of(EXPONENTIAL)),
        power_alphas=of(POWER),
        psd_dims=[int(size) for size in of(SEMIDEFINITE)],
    )
    return cones, np.concatenate([np.array(rows[kind], dtype=int) for kind in range(6)])


def moreau_layer(case, count, tolerance=None):
    """Moreau's own torch front end on the compiled program."""
    cones, order = cones_and_order(case)
    data, triplets = case.numbers("data"), case.numbers("map").reshape(-1, 3)
    upper, below = case.whole("quadratic-indices"), case.whole("constraints-indices")
    n, m, squares, entries = len(case.whole("quadratic-starts")) - 1, len(order), len(upper), len(below)
    # Numbers of entries, from one, in the matrices: where each of theirs comes from.
    upper = sp.csc_array((np.arange(1, squares + 1), upper, case.whole("quadratic-starts")), (n, n))
    whole = sp.csr_array(upper + sp.triu(upper, 1).T)
    below = sp.csc_array((np.arange(1, entries + 1), below, case.whole("constraints-starts")), (m, n))
    rows = sp.csr_array(below)[order]
    pick = np.concatenate([
        whole.data - 1, squares + np.arange(n), squares + n + rows.data - 1, squares + n + entries + order
    ])  # fmt: skip
    theta = sum(int(np.prod(dims)) for dims in case.parameters.values())
    places = triplets[:, :2].astype(int).T
    matrix = sp.csr_array((triplets[:, 2], tuple(places)), (len(data), theta))[pick]
    data = data[pick]
    ends = np.cumsum([whole.nnz, n, rows.nnz])
    settings = moreau.Settings(device="cpu", enable_grad=True, batch_size=count or 1)
    if tolerance:
        settings.ipm_settings = moreau.IPMSettings(tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance)
    indices = lambda array: torch.tensor(array, dtype=torch.int64)
    solver = moreau.torch.Solver(
        n=n,
        m=m,
        P_row_offsets=indices(whole.indptr),
        P_col_indices=indices(whole.indices),
        A_row_offsets=indices(rows.indptr),
        A_col_indices=indices(rows.indices),
        cones=cones,
        settings=settings,
    )
    columns = torch.tensor(case.whole("columns"))
    # Matrices that no parameter moves are given once, for all programs.
    moved = np.diff(matrix.indptr) > 0
    fixed = not (moved[: ends[0]].any() or moved[ends[1] : ends[2]].any())
    once = [torch.tensor(data[: ends[0]]), torch.tensor(data[ends[1] : ends[2]])]

    def solve(given):
        theta = torch.cat([part.reshape(count or 1, -1) for part in given], 1)
        quadratic, linear, constraints, right = torch.tensor_split(Affine.apply(theta, matrix, data), ends.tolist(), 1)
        if count is None:
            quadratic, linear, constraints, right = (part[0] for part in (quadratic, linear, constraints, right))
        if fixed:
            quadratic, constraints = once
        x = solver.solve(*(part.contiguous() for part in (quadratic, constraints, linear, right))).x
        return x.reshape(count or 1, -1)[:, columns]

    return solve


TIGHT = 1e-9
CLARABEL = {"solve_method": "Clarabel"}
TIGHT_CLARABEL = CLARABEL | {"tol_gap_abs": TIGHT, "tol_gap_rel": TIGHT, "tol_feas": TIGHT}
# Name, how to build, whether for batches too. Tolerances are each system's default unless the name says otherwise.
SYSTEMS = [
    ("cvxpylayers", lambda case, count: cvxpylayer(case, count, CLARABEL), True),
    ("cvxpylayers at 1e-9", lambda case, count: cvxpylayer(case, count, TIGHT_CLARABEL), False),
    ("Moreau", moreau_layer, True),
    ("Moreau at 1e-9", lambda case, count: moreau_layer(case, count, TIGHT), False),
]


def gradient_error(case, gradient):
    """As `Truth::error` in conic.rs."""
    slopes = case.numbers("slopes")
    directions = case.numbers("directions").reshape(len(slopes), -1)
    largest = np.abs(slopes).max()
    return np.abs(directions @ gradient - slopes).max() / (largest if largest > 1e-6 else 1.0)


def measure(case, build, count, repeats, patience, log, results):
    """Runs in a process of its own: puts the timings, or the reason why there are none, into `results`."""
    quiet(log)
    try:
        torch.set_num_threads(THREADS)
        start = time.perf_counter()
        solve = build(case, count)
        set_up = time.perf_counter() - start
        rows = count or 1
        upstream = torch.tensor(case.numbers("upstream")[: rows * case.width].reshape(rows, -1))
        forward, backward = [], []
        began = time.perf_counter()
        # The first call is not counted: some layers do a part of their set-up in it.
        while len(forward) <= repeats:
            given = [tensor.clone().requires_grad_() for tensor in case.tensors(count)]
            start = time.perf_counter()
            answer = solve(given)
            solved = time.perf_counter()
            loss = (upstream * answer).sum()
            begin = time.perf_counter()
            loss.backward()
            done = time.perf_counter()
            forward.append(1e3 * (solved - start))
            backward.append(1e3 * (done - begin))
            taken = done - began
            if (taken > patience and len(forward) > 3) or (taken > 3 * patience and len(forward) > 1):
                break
        gradient = [part.grad if count is None else part.grad[0] for part in given]
        gradient = torch.cat([part.reshape(-1) for part in gradient]).numpy()
        answers = case.numbers("answers")[: rows * case.width].reshape(rows, -1)
        forward_summary, backward_summary = summary(forward[1:]), summary(backward[1:])
        first = forward[0] + backward[0] - forward_summary["ms"] - backward_summary["ms"]
        results.put(
            {
                "set-up_ms": 1e3 * set_up + max(first, 0.0),
                **{f"forward_{key}": value for key, value in forward_summary.items()},
                **{f"backward_{key}": value for key, value in backward_summary.items()},
                "gradient_error": gradient_error(case, gradient),
                "difference": np.abs(answer.detach().numpy() - answers).max(),
                "note": "",
            }
        )
    except Exception as error:  # a peer that fails is a result, not the end of the run
        traceback.print_exc(limit=-2)
        results.put({"note": f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="this case alone")
    parser.add_argument("--system", help="this system alone")
    flags = parser.parse_args()
    # As many counted repeats as fit into `patience` seconds, but at least three; one if that takes three times as long.
    repeats, patience, limit = (10, 0.5, 15) if flags.quick else (100, 2, LIMIT)
    log = flags.out.with_suffix(".log")

    lines = {}
    with open(flags.folder / "conic-cases.csv", newline="") as table:
        for line in csv.DictReader(table):
            lines.setdefault(line["case"], []).append(line)
    rows = []
    for name, own in lines.items():
        if flags.only not in (None, name):
            continue
        case = Case(flags.folder, name, own)
        for count in [None, case.batch] if case.batch > 1 else [None]:
            for system, build, batches in SYSTEMS:
                if flags.system not in (None, system) or (not batches and (count or case.batch == 1 or flags.quick)):
                    continue
                arguments = (case, build, count, repeats, patience, log)
                found = in_its_own_process(measure, arguments, limit)
                rows.append({"case": name, "batch": count or 1, "system": system} | found)
                keys = ("forward_ms", "backward_ms", "gradient_error", "difference")
                shown = [f"{found[key]:.4g}" for key in keys if key in found]
                print(f"{name}, {count or 1}: {system}: {' / '.join(shown) or found['note']}", flush=True)
    write(flags.out, CONIC_FIELDS, rows)


if __name__ == "__main__":
    main()
