"""Fast operations: plain-torch references beside Triton bodies, packed masks, sparse formats, greedy selection."""

if __name__ == "kernels":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.kernels; `import kernels` from the checkout means another package (try `python -P`)"
    )
