"""The version, as a literal, so that an uninstalled `PYTHONPATH=src` run has it too."""

__version__ = "0.2.0"
