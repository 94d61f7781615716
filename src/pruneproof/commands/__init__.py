"""The commands of the command line, one module each, discovered by `pruneproof.cli`."""
