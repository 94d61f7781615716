"""Masked linear maps: the operation with its derivatives, and the Triton kernels."""

__all__: list[str] = []
