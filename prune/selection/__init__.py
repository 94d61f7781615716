"""From scores to masks: budgets, patterns, schedules, iterative pruning."""

__all__: list[str] = []
