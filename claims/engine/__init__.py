"""Computes cells and stores rows; knows no claim, no paper, no data set."""

__all__: list[str] = []
