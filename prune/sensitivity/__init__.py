"""Sensitivity-informed pruning (SiPP): rows whose error is bounded on a sample, and channels removed whole (PFP)."""

from .channels import PfpResult, pfp
from .method import SippResult, sipp
from .population import stretch

__all__ = ["PfpResult", "SippResult", "pfp", "sipp", "stretch"]
