"""How many neurons does the theorem G1 ask for, and how many are needed? Greedy selection from a wide network.

python examples/smallest_network.py [--toy]
"""

import math
import sys

import torch

from pruneproof.kernels import Gram, greedy_select
from pruneproof.theory import bounds

toy = "--toy" in sys.argv
width, wanted = (200, 0.1) if toy else (2000, 0.03)
torch.manual_seed(0)
points = torch.linspace(-1, 1, 60, dtype=torch.float64)
target = torch.sin(3 * points)
slopes, shifts = torch.randn(2, width, 1, dtype=torch.float64)
hidden = torch.relu(slopes * points + shifts)
outgoing = (torch.linalg.pinv(hidden.T, rtol=1e-6) @ target).view(-1, 1)  # the smallest weights that fit
neurons = width * outgoing * hidden / len(points) ** 0.5  # their mean is the network's output
target = target / len(points) ** 0.5

dense = neurons.mean(0)
loss = 0.5 * (dense - target).square().sum().item()
spread = (neurons - dense).square().sum(1).mean().item()
print(f"{width} neurons: loss {loss:.2e}, spread of the neurons {spread:.3g}")

theorem = next(bound for bound in bounds() if bound.name == "G1")
steps = math.ceil(float(theorem.solve("k", value=wanted, loss=loss, V=spread)))
print(f"G1: {steps} steps are enough for a loss of {wanted}, if selection is with replacement")
losses = greedy_select(Gram.from_features(neurons, target), min(steps, 500)).losses
reached = (losses <= wanted).nonzero()
print(f"needed: {int(reached[0]) + 1} steps" if len(reached) else f"not reached in {len(losses)} steps")
