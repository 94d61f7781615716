"""The scaling law of pruning fitted to measurements: points, models, intervals, answers."""

__all__: list[str] = []
