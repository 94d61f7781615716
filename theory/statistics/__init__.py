"""Exact tests, calibration of predictions, phases of sparse double descent."""

__all__: list[str] = []
