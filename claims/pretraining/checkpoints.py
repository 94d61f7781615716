"""When a network under training is pruned and measured: every iteration at first, then at a constant ratio."""

RATIO = 1.2


def checkpoints(last: int, ratio: float = RATIO) -> list[int]:
    """0, 1, 2, … and then each `ratio` times the one before, up to `last`: a threshold is known within that ratio.

    Example:
        >>> checkpoints(20)
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20]
    """
    times = [0]
    while times[-1] < last:
        times.append(min(last, max(times[-1] + 1, round(times[-1] * ratio))))
    return times
