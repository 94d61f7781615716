"""Bound what pruning changed: over a ball around every test image, and over the population they come from.

python examples/certify_pruning.py [--toy]
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from pruneproof.prune import certify, certify_population, sipp

toy = "--toy" in sys.argv
torch.manual_seed(0)
data, target = load_digits(return_X_y=True)
images, labels = torch.tensor(data, dtype=torch.float32) / 16, torch.tensor(target)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
for _ in range(20 if toy else 300):
    optimizer.zero_grad()
    cross_entropy(model(images[:1000]), labels[:1000]).backward()
    optimizer.step()

pruned = sipp(model, images[:200], density=0.7, variant="det").model
balls = certify(model, pruned, images[1000 : 1005 if toy else 1100], radius=0.001)
print(f"same class on the whole ball: {int(balls.certified.sum())} of {len(balls.certified)} images")
print(f"largest possible difference of an output: {balls.error_bound.max():.3f}")
population = certify_population(model, pruned, images[1000:], alpha=0.05)
print(population)
