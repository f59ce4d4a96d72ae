"""Milliseconds of a training step (forward, backward, update; batch 128, f32, eager) of the networks of gpu.rs."""

import statistics
import time

import torch
from torch import nn

CLASSES, BATCH = 10, 128


def cnn():
    """3 x 3 convolutions of stride 2, 2, 1, mean, linear head."""
    layers, inputs = [], 3
    for outputs, stride in ((32, 2), (64, 2), (64, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


class Block(nn.Module):
    """Batch norm and ReLU before each of two convolutions."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = inputs == outputs and stride == 1
        self.skip = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        y = torch.relu(self.first(x))
        skip = x if self.skip is None else self.skip(y)
        return skip + self.b(torch.relu(self.second(self.a(y))))


def preact(blocks):
    layers, inputs = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for stage, outputs in enumerate((16, 32, 64)):
        for block in range(blocks):
            layers.append(Block(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    return nn.Sequential(
        *layers, nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)
    )


def main():
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print("training step in PyTorch,ms,spread")
    for name, make in (("cnn", cnn), ("preact8", lambda: preact(1)), ("preact20", lambda: preact(3))):
        network = make().cuda()
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        inputs = torch.rand(BATCH, 3, 32, 32, device="cuda")
        labels = torch.arange(BATCH, device="cuda") % CLASSES
        times = []
        for step in range(60):
            start = time.perf_counter()
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimiser.step()
            loss.item()
            torch.cuda.synchronize()
            if step >= 10:
                times.append(1e3 * (time.perf_counter() - start))
        times.sort()
        print(f"{name},{statistics.median(times):.2f},{times[len(times) * 9 // 10] - times[len(times) // 10]:.2f}")


main()
