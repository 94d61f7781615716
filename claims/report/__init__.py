"""The report of a run: one HTML page that needs no network, no script and no file beside it."""

from .document import page

__all__ = ["page"]
