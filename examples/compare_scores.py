"""Hold a score of your own against the library's: prune before training, train, compare over seeds.

python examples/compare_scores.py [--toy]
"""

import copy
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from pruneproof.prune import prunable, scores, select
from pruneproof.testing import score_laws

toy = "--toy" in sys.argv
data, target = load_digits(return_X_y=True)
images, labels = torch.tensor(data, dtype=torch.float32) / 16, torch.tensor(target)


def centred(model, batch):
    """Distance of a weight from the mean of its row."""
    weights = {name: weight.detach() for name, weight in prunable(model).items()}
    return {name: (w - w.flatten(1).mean(1).view(-1, *[1] * (w.ndim - 1))).abs() for name, w in weights.items()}


CANDIDATES = {
    "yours": centred,
    "magnitude": lambda model, batch: scores.magnitude(model),
    "snip": lambda model, batch: scores.snip(model, cross_entropy, batch),
    "random": lambda model, batch: scores.random(model, generator=torch.Generator().manual_seed(0)),
}


def trained(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(5 if toy else 200):
        optimizer.zero_grad()
        cross_entropy(model(images[:1300]), labels[:1300]).backward()
        optimizer.step()
    with torch.no_grad():
        return (model(images[1300:]).argmax(1) == labels[1300:]).double().mean().item()


for law in score_laws(centred):
    law()  # raises where the score breaks a law
results: dict[str, list[float]] = {name: [] for name in CANDIDATES}
for seed in range(1 if toy else 5):
    torch.manual_seed(seed)
    initial = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    for name, score in CANDIDATES.items():
        model = copy.deepcopy(initial)
        select(score(model, (images[:100], labels[:100])), density=0.05, scope="layer").enforce(model)
        results[name].append(trained(model))
for name, values in results.items():
    print(f"{name:10}", "  ".join(f"{value:.1%}" for value in values))
