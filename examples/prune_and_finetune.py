"""Prune a trained network to a tenth of its weights, fine-tune it, and save what is left.

python examples/prune_and_finetune.py [--toy] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn

from pruneproof import prune

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--toy", action="store_true", help="train for one epoch only")
parser.add_argument("--out", type=Path, default=Path("pruned"))
options = parser.parse_args()

torch.manual_seed(0)
data, target = load_digits(return_X_y=True)
images, labels = torch.tensor(data, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(target)


def network():
    features = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))


def train(model, epochs):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(1300).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()


@torch.no_grad()
def accuracy(model):
    return (model.eval()(images[1300:]).argmax(1) == labels[1300:]).double().mean()


model = network()
train(model, 1 if options.toy else 10)
print(f"dense       {accuracy(model):.1%}")
masks = prune.magnitude(model, density=0.1)
masks.enforce(model)
print(f"pruned      {accuracy(model):.1%}, {masks.count} of {masks.total} weights")
train(model, 1 if options.toy else 5)
print(f"fine-tuned  {accuracy(model):.1%}")

options.out.mkdir(exist_ok=True)
save_file(model.state_dict(), options.out / "model.safetensors")
masks.save(options.out / "masks.safetensors")
again = network()
again.load_state_dict(load_file(options.out / "model.safetensors"))
print(f"reloaded    {accuracy(again):.1%}")
