"""Times other differentiable layers on the problems that ours.rs wrote, and writes a CSV like its own.

usage: peers.py FOLDER OUT.csv [--quick] [--only CASE] [--system NAME]

Every system solves the same program in f64 on the CPU, one instance a call:

    minimise    <D, Z> + eps/2 ||Z||^2
    subject to  Z >= 0,  Z 1 = 1,  sum of the weights of the incoming columns <= kappa

and returns the weights beside Z. For p = 1 a weight is a column sum. For p = 2 and inf it is the
epigraph variable t_j >= ||Z_:j||_p: the budget is tight in every case, so t equals the norm at the
solution, and the gradient of a norm at zero or of a largest entry at a tie never has to be chosen by torch.
"""

import argparse
import csv
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import cvxpy as cp
import moreau
import moreau.torch
import numpy as np
import proxsuite.torch.qplayer
import qpth.qp
import scipy.sparse as sp
import torch
from cvxpylayers.torch import CvxpyLayer
from dqp import dQP
from lines import FIELDS, THREADS, in_its_own_process, quiet, summary, write

# Beyond this the dense Hessian takes gigabytes, and a general solver minutes a call.
SMALL = 40


@dataclass
class Problem:
    """A case as ours.rs wrote it; see problems.rs for the files."""

    name: str
    n: int
    m: int
    p: str
    eps: float
    budget: float
    costs: np.ndarray
    upstream_assignment: np.ndarray
    upstream_weights: np.ndarray
    directions: np.ndarray | None
    slopes: np.ndarray | None

    @property
    def width(self):
        return self.n + self.m


def read(folder, line):
    name, n, m = line["case"], int(line["n"]), int(line["m"])
    eps, width = float(line["eps"]), n + m
    numbers = lambda what: np.fromfile(folder / f"{name}-{what}", dtype="<f8")
    upstream = numbers("upstream")
    return Problem(
        name=name,
        n=n,
        m=m,
        p=line["p"],
        eps=eps,
        budget=float(line["budget"]),
        costs=numbers("costs").reshape(n, width),
        upstream_assignment=upstream[: n * width].reshape(n, width),
        upstream_weights=upstream[n * width :],
        directions=numbers("directions").reshape(-1, n, width) if eps > 0 else None,
        slopes=numbers("slopes") if eps > 0 else None,
    )


# Each of the following builds a function from costs to (assignment, weights).


def cvxpylayer(problem, arguments):
    """The cvxpylayers front end with diffcp, its default backend on a CPU."""
    n, width = problem.n, problem.width
    assignment = cp.Variable((n, width))
    costs, budget = cp.Parameter((n, width)), cp.Parameter(nonneg=True)
    objective = cp.sum(cp.multiply(costs, assignment))
    if problem.eps > 0:
        objective += problem.eps / 2 * cp.sum_squares(assignment)
    constraints = [assignment >= 0, cp.sum(assignment, axis=1) == 1]
    incoming = assignment[:, :n]
    if problem.p == "1":
        weights = None
        constraints.append(cp.sum(incoming) <= budget)
    else:
        weights = cp.Variable(n)
        constraints.append(cp.sum(weights) <= budget)
        if problem.p == "2":
            constraints.append(cp.norm(incoming, 2, axis=0) <= weights)
        else:
            constraints.append(incoming <= cp.reshape(weights, (1, n), order="C"))
    variables = [assignment] if weights is None else [assignment, weights]
    layer = CvxpyLayer(
        cp.Problem(cp.Minimize(objective), constraints),
        parameters=[costs, budget],
        variables=variables,
        solver_args=arguments,
    )
    kappa = torch.tensor(problem.budget, dtype=torch.float64)

    def solve(given):
        answer = layer(given, kappa)
        return answer[0], answer[1] if len(answer) == 2 else answer[0][:, :n].sum(0)

    return solve


def quadratic_program(problem):
    """1/2 z'Qz + q'z, Gz <= h, Az = b over z = (Z by rows, t) as scipy matrices; p = 2 still lacks its cones."""
    n, width = problem.n, problem.width
    size = n * width
    extra = 0 if problem.p == "1" else n
    entry = np.arange(size).reshape(n, width)
    curvature = np.concatenate([np.full(size, problem.eps), np.zeros(extra)])
    rows = sp.csr_array((np.ones(size), (np.repeat(np.arange(n), width), np.arange(size))), (n, size + extra))
    positive = -sp.eye_array(size, size + extra, format="csr")
    incoming = entry[:, :n].ravel()
    if problem.p != "1":
        total = sp.csr_array((np.ones(n), (np.zeros(n, int), size + np.arange(n))), (1, size + extra))
        above = [positive, total]
        if problem.p == "inf":
            capped = np.arange(n * n)
            below = sp.csr_array((np.ones(n * n), (capped, incoming)), (n * n, size + extra))
            cap = sp.csr_array((np.ones(n * n), (capped, size + np.tile(np.arange(n), n))), (n * n, size + extra))
            above.insert(1, below - cap)
        above = sp.vstack(above, format="csr")
    else:
        total = sp.csr_array((np.ones(n * n), (np.zeros(n * n, int), incoming)), (1, size))
        above = sp.vstack([positive, total], format="csr")
    limits = np.concatenate([np.zeros(above.shape[0] - 1), [problem.budget]])
    return curvature, above, limits, rows, np.ones(n)


def moreau_layer(problem, tolerance=None):
    """Moreau's own torch front end: cone form Ax + s = b, s in zero x nonnegative x second-order cones."""
    n, width = problem.n, problem.width
    curvature, above, limits, rows, masses = quadratic_program(problem)
    constraints, right, cones = [rows, above], [masses, limits], []
    if problem.p == "2":
        # (t_j, Z_:j) in a second-order cone of dimension n + 1, a column after the other.
        entry = np.arange(n * width).reshape(n, width)
        order = np.concatenate([[n * width + j, *entry[:, j]] for j in range(n)])
        inside = sp.csr_array((-np.ones(order.size), (np.arange(order.size), order)), (order.size, curvature.size))
        constraints.append(inside)
        right.append(np.zeros(order.size))
        cones = [n + 1] * n
    matrix = sp.vstack(constraints, format="csr")
    curved = np.flatnonzero(curvature)
    hessian = sp.csr_array((curvature[curved], (curved, curved)), (curvature.size, curvature.size))
    indices = lambda array: torch.tensor(array, dtype=torch.int64)
    settings = moreau.Settings(device="cpu", enable_grad=True)
    if tolerance:
        settings.ipm_settings = moreau.IPMSettings(tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance)
    solver = moreau.torch.Solver(
        n=curvature.size,
        m=matrix.shape[0],
        P_row_offsets=indices(hessian.indptr),
        P_col_indices=indices(hessian.indices),
        A_row_offsets=indices(matrix.indptr),
        A_col_indices=indices(matrix.indices),
        cones=moreau.Cones(num_zero_cones=n, num_nonneg_cones=above.shape[0], so_cone_dims=cones),
        settings=settings,
    )
    fixed = torch.tensor(hessian.data), torch.tensor(matrix.data)
    right = torch.tensor(np.concatenate(right))
    return lambda given: split(problem, solver.solve(*fixed, linear_term(problem, given), right).x)


def split(problem, z):
    """Assignment and weights from the solution of `quadratic_program`."""
    n, width = problem.n, problem.width
    assignment = z[: n * width].reshape(n, width)
    return assignment, assignment[:, :n].sum(0) if problem.p == "1" else z[n * width :]


def linear_term(problem, given):
    extra = 0 if problem.p == "1" else problem.n
    return torch.cat([given.reshape(-1), torch.zeros(extra, dtype=torch.float64)])


def dense(problem):
    curvature, above, limits, rows, masses = quadratic_program(problem)
    tensor = lambda array: torch.tensor(array, dtype=torch.float64)
    return (
        torch.diag(tensor(curvature)),
        tensor(above.toarray()),
        tensor(limits),
        tensor(rows.toarray()),
        tensor(masses),
    )


def qpth_layer(problem):
    hessian, above, limits, rows, masses = dense(problem)
    layer = qpth.qp.QPFunction(verbose=-1, check_Q_spd=False)
    return lambda given: split(problem, layer(hessian, linear_term(problem, given), above, limits, rows, masses)[0])


def qplayer(problem):
    hessian, above, limits, rows, masses = dense(problem)
    layer = proxsuite.torch.qplayer.QPFunction()
    lowest = torch.full_like(limits, -1e20)

    def solve(given):
        z = layer(hessian, linear_term(problem, given), rows, masses, above, lowest, limits)[0]
        return split(problem, z[0])

    return solve


def dqp_layer(problem, tolerance):
    curvature, above, limits, rows, masses = quadratic_program(problem)

    def sparse(matrix):
        matrix = matrix.tocsc()
        parts = [torch.tensor(part) for part in (matrix.indptr, matrix.indices, matrix.data)]
        return torch.sparse_csc_tensor(*parts, size=matrix.shape, dtype=torch.float64)

    settings = dQP.build_settings(solve_type="sparse", qp_solver="clarabel", eps_abs=tolerance, empty_batch=False)
    layer = dQP.dQP_layer(settings)
    hessian = sparse(sp.diags_array(curvature, format="csc"))
    fixed = [sparse(above), torch.tensor(limits), sparse(rows), torch.tensor(masses)]
    return lambda given: split(problem, layer(hessian, linear_term(problem, given), *fixed)[0])


def quadratic(problem):
    """Only quadratic programs with a Hessian: not p = 2, not eps = 0."""
    return problem.p != "2" and problem.eps > 0


def small(problem):
    return problem.n <= SMALL


def dense_is_possible(problem):
    """Half a minute to a minute a call at n = m = 40, p = 1; p = inf adds half as many inequalities again."""
    return quadratic(problem) and problem.p == "1" and small(problem)


def everything(problem):
    return True


TIGHT = 1e-9
TIGHT_CLARABEL = {"tol_gap_abs": TIGHT, "tol_gap_rel": TIGHT, "tol_feas": TIGHT}


def diffcp(method, **arguments):
    return lambda problem: cvxpylayer(problem, {"solve_method": method, **arguments})


# Name, which problems, how to build. Tolerances are each system's default unless the name says otherwise.
SYSTEMS = [
    ("cvxpylayers (SCS)", everything, diffcp("SCS")),
    ("cvxpylayers (SCS at 1e-9)", small, diffcp("SCS", eps=TIGHT, max_iters=100_000)),
    ("cvxpylayers (Clarabel)", everything, diffcp("Clarabel")),
    ("cvxpylayers (Clarabel at 1e-9)", small, diffcp("Clarabel", **TIGHT_CLARABEL)),
    ("Moreau", everything, moreau_layer),
    ("Moreau at 1e-9", small, lambda problem: moreau_layer(problem, TIGHT)),
    ("dQP (Clarabel)", quadratic, lambda problem: dqp_layer(problem, 1e-6)),
    ("dQP (Clarabel at 1e-9)", quadratic, lambda problem: dqp_layer(problem, TIGHT)),
    ("QPLayer (ProxSuite)", dense_is_possible, qplayer),
    ("qpth", dense_is_possible, qpth_layer),
]


def gradient_error(problem, gradient):
    """As `gradient_error` in solve.rs: along directions, or the norm where the truth is zero."""
    if problem.slopes is None:
        upstream = np.hypot(np.linalg.norm(problem.upstream_assignment), np.linalg.norm(problem.upstream_weights))
        return np.linalg.norm(gradient) / upstream
    errors = np.abs(np.tensordot(problem.directions, gradient, 2) - problem.slopes)
    half = len(errors) // 2
    kinds = [slice(0, half), slice(half, None)]
    return max(errors[kind].max() / np.abs(problem.slopes[kind]).max() for kind in kinds)


def measure(problem, build, repeats, patience, log, results):
    """Runs in a process of its own: puts the timings, or the reason why there are none, into `results`."""
    quiet(log)
    try:
        torch.set_num_threads(THREADS)
        start = time.perf_counter()
        layer = build(problem)
        set_up = time.perf_counter() - start
        upstream = torch.tensor(problem.upstream_assignment), torch.tensor(problem.upstream_weights)
        forward, backward = [], []
        began = time.perf_counter()
        # The first call is not counted: some layers do a part of their set-up in it.
        while len(forward) <= repeats:
            costs = torch.tensor(problem.costs, requires_grad=True)
            start = time.perf_counter()
            assignment, weights = layer(costs)
            solved = time.perf_counter()
            loss = (upstream[0] * assignment).sum() + (upstream[1] * weights).sum()
            begin = time.perf_counter()
            loss.backward()
            done = time.perf_counter()
            forward.append(1e3 * (solved - start))
            backward.append(1e3 * (done - begin))
            taken = done - began
            if (taken > patience and len(forward) > 3) or (taken > 3 * patience and len(forward) > 1):
                break
        answer = assignment.detach().numpy()
        forward_summary, backward_summary = summary(forward[1:]), summary(backward[1:])
        first = forward[0] + backward[0] - forward_summary["ms"] - backward_summary["ms"]
        results.put(
            {
                "set-up_ms": 1e3 * set_up + max(first, 0.0),
                **{f"forward_{key}": value for key, value in forward_summary.items()},
                **{f"backward_{key}": value for key, value in backward_summary.items()},
                "objective": np.sum(problem.costs * answer) + problem.eps / 2 * np.sum(answer**2),
                "gradient_error": gradient_error(problem, costs.grad.numpy()),
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
    repeats, patience, limit = (10, 4, 30) if flags.quick else (30, 8, 150)
    log = flags.out.with_suffix(".log")

    rows = []
    with open(flags.folder / "cases.csv", newline="") as table:
        problems = [read(flags.folder, line) for line in csv.DictReader(table)]
    for problem in problems:
        if flags.only not in (None, problem.name) or (flags.quick and problem.n > SMALL):
            continue
        for name, fits, build in SYSTEMS:
            if not fits(problem) or flags.system not in (None, name):
                continue
            if flags.quick and fits is dense_is_possible:
                continue
            arguments = (problem, build, repeats, patience, log)
            found = in_its_own_process(measure, arguments, limit)
            rows.append({"case": problem.name, "n": problem.n, "m": problem.m, "p": problem.p, "system": name} | found)
            shown = [f"{found[key]:.4g}" for key in ("forward_ms", "backward_ms", "gradient_error") if key in found]
            print(f"{problem.name}: {name}: {' / '.join(shown) or found['note']}", flush=True)
    write(flags.out, FIELDS, rows)


if __name__ == "__main__":
    main()
