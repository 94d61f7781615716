"""Seeds that no pilot has seen.

Runs with seeds below 100 settled the set-ups, targets and criteria of PT4 to PT6 (docs/pilots.md says what was changed
after which result), so only seeds from 100 on can confirm or refute them.
"""

FIRST = 100


def fresh_seeds(count: int) -> range:
    """The first `count` seeds of the confirming runs.

    Example:
        >>> list(fresh_seeds(2))
        [100, 101]
    """
    return range(FIRST, FIRST + count)
