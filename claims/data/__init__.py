"""Data sets: what is on this machine, and synthetic tasks with known answers."""

__all__: list[str] = []
