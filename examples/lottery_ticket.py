"""Iterative magnitude pruning: train, prune a part, rewind the rest to an early iteration, and train again.

python examples/lottery_ticket.py [--toy]
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

from pruneproof.prune import imp, schedules

toy = "--toy" in sys.argv
iterations, rewind_to = (6, 2) if toy else (300, 20)
torch.manual_seed(0)
data, target = load_digits(return_X_y=True)
images, labels = torch.tensor(data, dtype=torch.float32) / 16, torch.tensor(target)


def train(model, start, stop):
    """Train from iteration `start` to `stop`; what is returned goes into the level."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for iteration in range(start, stop):
        generator = torch.Generator().manual_seed(iteration)  # the same examples whenever this iteration is trained
        chosen = torch.randint(1300, (128,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    with torch.no_grad():
        return (model(images[1300:]).argmax(1) == labels[1300:]).double().mean().item()


model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
for level in imp(model, train, schedules.exponential(0.05, 5), iterations=iterations, rewind_to=rewind_to):
    print(f"level {level.index}: {level.masks.density:6.1%} of the weights, accuracy {level.trained:.1%}")
