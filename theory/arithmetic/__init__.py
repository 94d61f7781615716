"""Exact evaluation of formulas: balls, intervals, power series, inversion."""

__all__: list[str] = []
