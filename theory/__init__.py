"""Statements: symbolic bounds, certified evaluation, proof obligations, statistics of tests."""

if __name__ == "theory":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.theory; `import theory` from the checkout means another package (try `python -P`)"
    )
