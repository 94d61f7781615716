"""Pruning primitives: masks, scores, selection, methods, ablations, certificates."""

if __name__ == "prune":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.prune; `import prune` from the checkout means another package (try `python -P`)"
    )
