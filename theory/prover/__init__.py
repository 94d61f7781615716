"""A prover of inequalities on boxes: obligations, branch and bound, certificates that others check."""

__all__: list[str] = []
