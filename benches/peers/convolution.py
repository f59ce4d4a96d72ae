"""Training steps of the image networks in PyTorch: the counterpart of `convolution.rs`.

usage: convolution.py NETWORK BATCH [--channels-last]

The networks are those of `gleaner::learners` (`Cnn`, `ResNet`): the same layers, shapes and counts of
parameters. Prints that count, and then, for each line on standard input, the milliseconds of a step: forward in training mode, mean cross-entropy,
backward and stochastic gradient descent with momentum 0.9 on images 3 x 32 x 32.
"""

import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

THREADS = 2


class Cnn(nn.Module):
    """Three convolutions with ReLU, an average, a head."""

    def __init__(self, classes=10):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, classes)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


def convolution(inputs, outputs, kernel, stride):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class PreActivation(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)])
        self.convolutions = nn.ModuleList(
            [convolution(inputs, outputs, 3, stride), convolution(outputs, outputs, 3, 1)]
        )
        changes = stride != 1 or inputs != outputs
        self.shortcut = convolution(inputs, outputs, 1, stride) if changes else None

    def forward(self, images):
        inner = F.relu(self.norms[0](images))
        identity = images if self.shortcut is None else self.shortcut(inner)
        inner = F.relu(self.norms[1](self.convolutions[0](inner)))
        return self.convolutions[1](inner) + identity


class PreActivationResNet(nn.Module):
    def __init__(self, blocks, classes=10, width=16):
        super().__init__()
        stages, inputs = [], width
        for stage in range(3):
            for block in range(blocks):
                outputs = width << stage
                stages.append(PreActivation(inputs, outputs, 2 if stage and not block else 1))
                inputs = outputs
        self.body = nn.Sequential(convolution(3, width, 3, 1), *stages, nn.BatchNorm2d(inputs), nn.ReLU())
        self.head = nn.Linear(inputs, classes)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


class PostActivation(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.inner = nn.Sequential(
            convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(),
            convolution(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, images):
        return F.relu(self.inner(images) + self.shortcut(images))


class ResNet18(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        blocks, inputs = [], 64
        for stage in range(4):
            for block in range(2):
                outputs = 64 << stage
                blocks.append(PostActivation(inputs, outputs, 2 if stage and not block else 1))
                inputs = outputs
        self.body = nn.Sequential(convolution(3, 64, 3, 1), nn.BatchNorm2d(64), nn.ReLU(), *blocks)
        self.head = nn.Linear(512, classes)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


NETWORKS = {
    "cnn": Cnn,
    "preact8": lambda: PreActivationResNet(1),
    "preact20": lambda: PreActivationResNet(3),
    "resnet18": ResNet18,
}


class Step:
    def __init__(self, name, batch, channels_last):
        torch.manual_seed(0)
        self.memory = torch.channels_last if channels_last else torch.contiguous_format
        self.network = NETWORKS[name]().to(memory_format=self.memory)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        self.images = torch.randn(batch, 3, 32, 32)
        self.labels = torch.arange(batch) % 10
        self.parameters = sum(p.numel() for p in self.network.parameters())

    def time(self):
        """Milliseconds of one step."""
        start = time.perf_counter()
        self.optimiser.zero_grad()
        images = self.images.contiguous(memory_format=self.memory)
        F.cross_entropy(self.network(images), self.labels).backward()
        self.optimiser.step()
        return 1e3 * (time.perf_counter() - start)


def serve(name, batch, channels_last):
    """Answers every line with the time of a step, so that another process decides whose turn it is."""
    step = Step(name, batch, channels_last)
    print(step.parameters, flush=True)
    while True:
        try:
            input()
        except EOFError:
            return
        print(step.time(), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("batch", type=int)
    parser.add_argument("--channels-last", action="store_true")
    flags = parser.parse_args()
    torch.set_num_threads(THREADS)
    serve(flags.network, flags.batch, flags.channels_last)


if __name__ == "__main__":
    main()
