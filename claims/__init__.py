"""The five papers: claims, data, training, runner, store, report."""

if __name__ == "claims":  # the checkout root is on sys.path
    raise ImportError(
        "this is pruneproof.claims; `import claims` from the checkout means another package (try `python -P`)"
    )
