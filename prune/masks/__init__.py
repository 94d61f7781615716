"""Masks: the mapping, its file, its enforcement during training, exchange with other tools."""

__all__: list[str] = []
