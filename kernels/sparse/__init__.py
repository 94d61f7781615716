"""Sparse weights and their product: formats, the choice between them, and the Triton kernels."""

__all__: list[str] = []
