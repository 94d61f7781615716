"""The commands of the command line, one module each, discovered by `pruneproof.cli`; here are their exit statuses.

0 means success. 1, 3 and others that a command defines for itself are explained by its `--help`.
"""

MISUSE = 2
INTERRUPTED = 130

__all__ = ["INTERRUPTED", "MISUSE"]
