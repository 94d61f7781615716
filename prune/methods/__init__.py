"""Pruning methods in one call: a score plus `select`, and loops on top."""

__all__: list[str] = []
