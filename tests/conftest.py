"""Strictness for every test: derandomised Hypothesis, deterministic torch, uninitialised memory filled with NaN."""

import os

import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

torch.use_deterministic_algorithms(True)  # also fills `torch.empty` with NaN, so that reading it is seen
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
