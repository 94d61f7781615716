"""Sensitivities of weights on a batch of inputs: the operation and its Triton kernel."""

__all__: list[str] = []
