"""Greedy forward selection: the operation, its rules, screening with proof, and the Triton kernels."""

__all__: list[str] = []
