"""Sensitivity-informed pruning (SiPP): rows whose error is bounded on a sample, and channels removed whole (PFP)."""

from .channels import PfpResult as PfpResult
from .channels import pfp as pfp
from .method import SippResult as SippResult
from .method import sipp as sipp
from .population import stretch as stretch
