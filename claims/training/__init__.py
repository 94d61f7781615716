"""Training: many perceptrons as one program, one network, iterative pruning."""

__all__: list[str] = []
