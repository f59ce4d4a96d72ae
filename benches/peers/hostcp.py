"""Times training steps of the published HOST-CP recipe in PyTorch, and writes a CSV like ours.rs does.

usage: hostcp.py OUT.csv [--data DIR] [--quick]

S. Das et al., Finding High-Value Training Data Subset through Differentiable Convex Programming, ECML-PKDD
2021, arXiv 2104.13794. One step of its alternating minimisation, in our own words and code:

    1  features of 40 incoming points and the 40 nearest remembered ones, embedded by the selection model
    2  pairwise distances, the selection program with p = 1 through cvxpylayers, weights of the incoming points
    3  a gradient of every incoming point's loss: one backward pass each
    4  theta_hat = theta - rate * weighted mean of these; gradient of the validation loss at theta_hat
    5  dL_val/dw_j from the inner products of both, backward through the program into the selection model
    6  optimiser steps on theta and on the selection model; points with large weight are remembered

Where the published script is slower for no reason of the method, this is not: distances are one matrix
operation instead of a double loop, and the nearest remembered points are found exactly instead of by an index
that is rebuilt every batch. Validation images come from the training data. Network, batch, memory, validation
set and data are those of epoch.rs.
"""

import argparse
import time
from pathlib import Path

import cvxpy as cp
import numpy as np
import torch
from cvxpylayers.torch import CvxpyLayer
from lines import BATCH, FIELDS, THREADS, TRAINING, summary, write
from torch import nn
from torch.nn import functional

REMEMBERED, VALIDATION = 40, (1_000, 100)
BUDGET = 0.2
KEEP = 0.9
MEMORY = 400
LOOK_AHEAD = 0.1
FILLING = 8
EMBEDDING = 100
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Cnn(nn.Module):
    """The network of gleaner::learn::Cnn: 3 x 3 convolutions of stride 2, 2, 1, mean, linear head."""

    def __init__(self, widths=(32, 64, 64)):
        super().__init__()
        inputs, convolutions = 3, []
        for width, stride in zip(widths, (2, 2, 1), strict=True):
            convolutions += [nn.Conv2d(inputs, width, 3, stride, padding=1), nn.ReLU()]
            inputs = width
        self.convolutions = nn.Sequential(*convolutions)
        self.head = nn.Linear(inputs, 10)

    def features(self, images):
        return self.convolutions(images).mean((2, 3))

    def forward(self, images):
        return self.head(self.features(images))


def selection_layer(smoothing):
    """The published program, 0 <= Z <= 1 included; with `smoothing` for costs in units of eps, plus ||Z||^2 / 2."""
    new, old = cp.Variable((BATCH, BATCH)), cp.Variable((BATCH, REMEMBERED))
    costs_new, costs_old = cp.Parameter((BATCH, BATCH)), cp.Parameter((BATCH, REMEMBERED))
    objective = cp.sum(cp.multiply(costs_old, old)) + cp.sum(cp.multiply(costs_new, new))
    parameters = [costs_new, costs_old]
    if smoothing:
        objective += cp.sum_squares(new) / 2 + cp.sum_squares(old) / 2
    constraints = [
        new >= 0,
        old >= 0,
        new <= 1,
        old <= 1,
        cp.sum(new, axis=1) + cp.sum(old, axis=1) == 1,
        cp.norm(cp.norm(new, 1, axis=0), 1) <= BUDGET * BATCH,
    ]
    return CvxpyLayer(cp.Problem(cp.Minimize(objective), constraints), parameters, [new])


class Recipe:
    """Learner, selection model, memory, and one step on a batch; `seconds` collects what the parts take."""

    def __init__(self, validation, smoothing, solver):
        self.learner, self.validation = Cnn(), validation
        self.selection = nn.Sequential(nn.Linear(64, EMBEDDING), nn.ReLU(), nn.BatchNorm1d(EMBEDDING))
        adam = lambda model: torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)
        self.learner_optimiser, self.selection_optimiser = adam(self.learner), adam(self.selection)
        self.layer, self.smoothing, self.solver = selection_layer(smoothing), smoothing, solver
        # Zeros stand for exemplars until there are some, as in the published script.
        self.memory = torch.zeros(REMEMBERED, 64)
        self.seconds = {}

    def lap(self, part):
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self.clock
        self.clock = now

    def weights(self, features):
        place, kept = self.selection(features), self.selection(self.memory)
        with torch.no_grad():
            distances = torch.cdist(place, kept).min(0).values
            nearest = distances.topk(REMEMBERED, largest=False).indices
        costs = torch.cdist(place, place).double(), torch.cdist(place, kept[nearest]).double()
        if self.smoothing:
            eps = self.smoothing * torch.cat(costs, 1).median().detach()
            costs = costs[0] / eps, costs[1] / eps
        (assignment,) = self.layer(*costs, solver_args=self.solver)
        return assignment.sum(0).float()

    def step(self, images, labels):
        self.clock = time.perf_counter()
        parameters = list(self.learner.parameters())
        features = self.learner.features(images).detach()
        self.lap("evidence")
        weights = self.weights(features)
        self.lap("selection forward")
        losses = functional.cross_entropy(self.learner(images), labels, reduction="none")
        each = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
        each = torch.stack([torch.cat([part.ravel() for part in gradient]) for gradient in each])
        share = (weights / weights.sum()).detach()
        mean = share @ each
        self.lap("a backward pass a sample")
        theta = nn.utils.parameters_to_vector(parameters).detach()
        nn.utils.vector_to_parameters(theta - LOOK_AHEAD * mean, parameters)
        judged = functional.cross_entropy(self.learner(self.validation[0]), self.validation[1])
        upward = torch.cat([part.ravel() for part in torch.autograd.grad(judged, parameters)])
        nn.utils.vector_to_parameters(theta, parameters)
        by_weight = -LOOK_AHEAD * (each - mean) @ upward / weights.sum().detach()
        self.lap("validation loss")
        self.selection_optimiser.zero_grad()
        (weights * by_weight).sum().backward()
        self.lap("selection backward")
        start = 0
        for parameter in parameters:
            parameter.grad = mean[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        self.learner_optimiser.step()
        self.selection_optimiser.step()
        kept = features[weights.detach() > KEEP]
        self.memory = torch.cat([self.memory, kept])[-MEMORY:]
        self.lap("updates")


def images(data):
    """The first images of CIFAR-10's binary files, normalised, or noise of the same shape."""
    count = TRAINING + VALIDATION[0]
    if data is None:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(count, 3, 32, 32, generator=generator)
        return pixels, torch.randint(10, (count,), generator=generator)
    records = np.fromfile(data / "data_batch_1.bin", dtype=np.uint8).reshape(-1, 3073)
    records = records[:count]
    pixels = torch.tensor(records[:, 1:]).view(-1, 3, 32, 32).float() / 255
    mean, deviation = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    return (pixels - mean) / deviation, torch.tensor(records[:, 0]).long()


# System, eps as a share of the median cost, arguments of the solver, whether quick runs have it. SCS is the default of
# cvxpylayers; Clarabel is faster here.
RECIPES = [
    ("HOST-CP recipe (cvxpylayers, SCS), eps = 0", 0.0, {"solve_method": "SCS"}, True),
    ("HOST-CP recipe (cvxpylayers, Clarabel), eps = 0", 0.0, {"solve_method": "Clarabel"}, True),
    ("HOST-CP recipe (cvxpylayers, Clarabel), eps = 0.1 median", 0.1, {"solve_method": "Clarabel"}, False),
]


def measure(recipe, pixels, labels, steps):
    """Some steps until there are remembered points, then those that count."""
    times = []
    for batch in torch.randperm(TRAINING).split(BATCH)[: FILLING + steps]:
        if len(times) == FILLING:
            recipe.seconds = {}
        start = time.perf_counter()
        recipe.step(pixels[batch], labels[batch])
        times.append(1e3 * (time.perf_counter() - start))
    whole = sum(recipe.seconds.values())
    note = "; ".join(f"{part} {100 * seconds / whole:.1f} %" for part, seconds in recipe.seconds.items())
    return {f"forward_{key}": value for key, value in summary(times[FILLING:]).items()} | {"note": note}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="the folder that holds cifar-10-batches-bin")
    parser.add_argument("--quick", action="store_true")
    flags = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    folder = flags.data / "cifar-10-batches-bin" if flags.data else None
    pixels, labels = images(folder)
    rows = []
    for count in VALIDATION:
        validation = pixels[TRAINING : TRAINING + count], labels[TRAINING : TRAINING + count]
        for system, smoothing, solver, always in RECIPES:
            if flags.quick and not always:
                continue
            case = f"hostcp epoch ({count} validation images)"
            rows.append({"case": case, "n": BATCH, "m": REMEMBERED, "p": "1", "system": system})
            rows[-1] |= measure(Recipe(validation, smoothing, solver), pixels, labels, 10 if flags.quick else 20)
            print(f"{case}: {system}: {rows[-1]['forward_ms']:.1f} ms a step: {rows[-1]['note']}", flush=True)
    write(flags.out, FIELDS, rows)


if __name__ == "__main__":
    main()
