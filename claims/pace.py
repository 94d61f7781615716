"""How long the rest of a run takes, when cells of different measures take very different times.

Every cell tells the seconds it took in its worker. A measure that has not answered yet is taken to be as fast as the
fastest that has, because the long ones are begun first; how many cells run side by side is read off the clock.
"""

from collections import Counter
from collections.abc import Mapping


class Pace:
    """The time left of a run.

    Arguments:
        waiting: measure → number of its cells.

    Example:
        >>> pace = Pace({"slow": 3, "fast": 10})
        >>> pace.computed("slow", 60.0)
        >>> pace.computed("fast", 1.0)
        >>> pace.left(elapsed=30.5)  # two at a time: (2·60 + 9·1)/2
        64.5
    """

    def __init__(self, waiting: Mapping[str, int]) -> None:
        self._waiting = Counter(waiting)
        self._answers: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def known(self, measure: str) -> None:
        """One cell of a measure was found in the store: it says nothing about the pace."""
        self._waiting[measure] -= 1

    def computed(self, measure: str, seconds: float) -> None:
        """One cell of a measure took so long."""
        self.known(measure)
        self._answers[measure] += 1
        self._seconds[measure] = self._seconds.get(measure, 0.0) + seconds

    def left(self, elapsed: float) -> float | None:
        """Seconds left after `elapsed` seconds; None while there is no pace."""
        spent = sum(self._seconds.values())
        if not spent:
            return None
        mean = {measure: self._seconds[measure] / number for measure, number in self._answers.items()}
        fastest = min(mean.values())
        work = sum(number * mean.get(measure, fastest) for measure, number in self._waiting.items() if number > 0)
        return work * elapsed / spent
