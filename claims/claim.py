"""A claim: one statement of a paper, the criterion that can refute it, the measurement, the verdict.

A claim is data and functions. It is found by `papers.load_papers`, run by `verification.run` and drawn by `report`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pruneproof.claims.engine.cell import Cell, Row
from pruneproof.errors import InvalidValueError

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure


Measured = dict[str, Any]  # name → number, text, or `estimates.Estimate`


class Scale(StrEnum):
    """How much is run: `quick` in minutes, `standard` as the criteria name it, `full` for hours or a GPU.

    Example:
        >>> Scale("quick") is Scale.QUICK
        True
    """

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


FIRST_FRESH_SEED = 200


def fresh_seeds(count: int) -> range:
    """The first seeds that no pilot has seen.

    Runs with lower seeds were looked at while set-ups, targets and criteria were chosen
    (docs/pilots.md says what was changed after which result), so they can neither confirm nor refute.

    Args:
        count: How many seeds.

    Example:
        >>> list(fresh_seeds(2))
        [200, 201]
    """
    return range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + count)


class Origin(StrEnum):
    """Whose statement a claim tests.

    Example:
        >>> str(Origin.OTHER)
        'stated by another paper'
    """

    PAPER = "stated by the paper"
    OTHER = "stated by another paper"
    DERIVED = "derived here"


class Verdict(StrEnum):
    """What the rows say about a statement; only a theorem can be `violated`.

    Example:
        >>> str(Verdict.NOT_REPRODUCED)
        'not reproduced at this scale'
    """

    HOLDS = "holds"
    VIOLATED = "violated"
    NOT_REPRODUCED = "not reproduced at this scale"
    INCONCLUSIVE = "inconclusive"
    VACUOUS = "vacuous"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Paper:
    """A paper whose claims are run.

    Args:
        key: the name on the command line, e.g. `"pretraining"`.
        title: the paper's title.
        authors: the authors as one text.
        year: year of the version that was read.
        arxiv: arXiv number, or an empty text.
        advice: claim id → verdict → one sentence on what to believe and do; the report prints those of the verdicts
            that were reached, so that they cannot contradict them.
        deviations: in what the experiments differ from the published ones, one sentence each.

    Example:
        >>> Paper("mine", "On something", "A. Body", 2026).key
        'mine'
    """

    key: str
    title: str
    authors: str
    year: int
    arxiv: str = ""
    advice: Mapping[str, Mapping[Verdict, str]] = field(default_factory=dict[str, Mapping[Verdict, str]], hash=False)
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A picture of a claim's rows.

    Args:
        title: a few words; also the picture's name for those who do not see it.
        caption: what is drawn and what to see in it; TeX between `$…$` is allowed.
        draw: draws on the matplotlib figure it is given and returns nothing.

    Example:
        >>> Figure("Loss", "Loss against $k$.", lambda figure: None).title
        'Loss'
    """

    title: str
    caption: str
    draw: "Callable[[MatplotlibFigure], None]"


@dataclass(frozen=True)
class Outcome:
    """A verdict with its evidence.

    Args:
        verdict: what the criterion says about the rows.
        measured: name → number, text, or `estimates.Estimate`; effect sizes with their intervals.
        seeds: the seeds that the figures come from.
        scope: on which networks, data, densities the verdict was reached; the power that was missing if inconclusive.
        table: rows of a small table printed in the report, all with the same keys.
        bounds: name in `measured` → what the criterion asks the interval of this estimate to lie between.

    Example:
        >>> Outcome(Verdict.HOLDS, {"slope": 1.9}, seeds=(0, 1, 2), scope="on digits").measured["slope"]
        1.9
    """

    verdict: Verdict
    measured: Measured
    seeds: tuple[int, ...]
    scope: str
    table: list[Row] = field(default_factory=list[Row])
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])


@dataclass(frozen=True)
class Claim:
    """One statement of a paper with the measurement that can refute it.

    Args:
        id: short name, unique over all papers, e.g. `"PT1"`.
        statement: the statement; TeX between `$…$` is allowed.
        source: paper and statement, e.g. `"Wolfe et al. 2022, and G1 in theory/theorems/greedy/proof.md"`.
        criterion: what will be called `holds`, fixed before the run.
        measure: runs one cell from its parameters alone and returns its rows, dictionaries or frozen dataclasses. A
            top-level function, so that a worker process can import it; raise its attribute `revision` when its meaning
            changes, and old rows are not reused.
        paper: key of the paper it belongs to.
        grid: `(scale, seeds)` → the cells; `seeds` overrides the number of seeds unless it is None.
        judge: applies the criterion to all rows, each merged with its cell's parameters.
        figures: pictures of the same rows.
        theorem: whether the statement is proved, so that a counterexample is a defect.
        says_not: what a reader may not conclude from the verdict.
        origin: whose statement it is: the paper's, another paper's, or derived here.
        symbols: what the letters in statement and criterion mean, where they do not say so, as the report prints it
            after "Here".

    Raises:
        InvalidValueError: If `measure` cannot be imported by a worker.

    Example:
        >>> def squares(cell):
        ...     return [{"square": cell["x"] ** 2}]
        >>> claim = Claim("X1", "$x^2 ≥ 0$", "school", "no negative square", squares, paper="school",
        ...               grid=lambda scale, seeds: [{"x": -3}, {"x": 2}],
        ...               judge=lambda rows: Outcome(Verdict.HOLDS, {"squares": len(rows)}, (), "two integers"))
        >>> [row for cell in claim.grid(Scale.QUICK, None) for row in claim.measure(cell)]
        [{'square': 9}, {'square': 4}]
    """

    id: str
    statement: str
    source: str
    criterion: str
    measure: Callable[[Cell], Sequence[Any]]
    _: KW_ONLY
    paper: str
    grid: Callable[[Scale, int | None], list[Cell]]
    judge: Callable[[list[Row]], Outcome]
    figures: Callable[[list[Row]], list[Figure]] | None = None
    theorem: bool = False
    says_not: str = ""
    origin: Origin = Origin.PAPER
    symbols: str = ""

    @property
    def criterion_hash(self) -> str:
        """SHA-256 of the criterion, its white space normalised, so that texts can be reflowed."""
        return sha256(" ".join(self.criterion.split()).encode()).hexdigest()

    def __post_init__(self) -> None:
        name = getattr(self.measure, "__qualname__", "")
        if not name or "<" in name:
            raise InvalidValueError(
                f"Claim {self.id}: its measure must be importable by a worker process, got {name or self.measure!r}. "
                "Define it at the top level of a module."
            )
