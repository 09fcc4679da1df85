"""Are made volumes nearer to those that trained than to those that did not?

0.5 without copying. All made volumes are held against the same few real ones, so intervals that
count them as independent are too narrow (200 made, 60 and 60 real: by a third). Here chance is what
remains when persons exchange who trained: exact where training and test persons are drawn alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

DRAWS, EXCHANGES = 10, 400  # draws of equally many persons, exchanges of labels
_Z, _TAIL = 1.959964, 0.025

Statistic = Callable[["Panel", np.random.Generator], float]


@dataclass(frozen=True)
class Panel:
    """Distances of made volumes (rows) to real ones (columns), some of which trained.

    persons, strata, trained: of a column. Nobody is on both sides; persons of a stratum, such as a
    site, are compared with each other only.
    """

    distances: Float[np.ndarray, "n m"]
    persons: Int[np.ndarray, "m"]
    strata: Int[np.ndarray, "m"]
    trained: Bool[np.ndarray, "m"]

    @property
    def matched(self) -> int:
        """Persons on each side where every stratum has equally many of both."""
        return len(self.draw(np.random.default_rng(0))[0])

    def draw(
        self, random: np.random.Generator
    ) -> tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_"]]:
        """Columns of equally many persons who trained and who did not, one scan of each."""
        order = random.permutation(len(self.persons))
        columns = random.permutation(order[np.unique(self.persons[order], return_index=True)[1]])
        sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for stratum in np.unique(self.strata):
            own = columns[self.strata[columns] == stratum]
            pair = own[self.trained[own]], own[~self.trained[own]]
            for side, found in zip(sides, pair, strict=True):
                side.append(found[: min(map(len, pair))])
        return np.concatenate(sides[0]), np.concatenate(sides[1])

    def exchanged(self, random: np.random.Generator) -> "Panel":
        """The panel with other persons, as many of every stratum, said to have trained."""
        trained = self.trained.copy()
        for stratum in np.unique(self.strata):
            at = np.flatnonzero(self.strata == stratum)
            _, first, whose = np.unique(self.persons[at], return_index=True, return_inverse=True)
            trained[at] = random.permutation(trained[at][first])[whose]
        return replace(self, trained=trained)


@dataclass(frozen=True)
class Nearer:
    """A share that is 0.5 by chance, its 95 % interval, and its p-value (one-sided, larger).

    sd: of the share over exchanges of who trained.
    """

    value: float
    low: float
    high: float
    sd: float
    p: float


def nearer(statistic: Statistic, panel: Panel, *, seed: int = 0) -> Nearer:
    """A share with Wilson's interval at the number of independent volumes that its spread under
    exchanges stands for; 0.5 is left out only where fewer than 2.5 % of exchanges go as far."""
    null = exchange(statistic, panel, seed=seed)
    value, sd = statistic(panel, np.random.default_rng(seed)), float(null.std())
    size = min(float(len(panel.distances)), 0.25 / sd**2 if sd else math.inf)
    low, high = wilson(value, size)
    p, below = chance(value, null), chance(-value, -null)
    low, high = (low if p < _TAIL else min(low, 0.5)), (high if below < _TAIL else max(high, 0.5))
    return Nearer(value, low, high, sd, p)


def exchange(
    statistic: Statistic, panel: Panel, *, seed: int = 0, count: int = EXCHANGES
) -> Float[np.ndarray, "_"]:
    """A statistic where other persons are said to have trained: what chance makes of it."""
    random = np.random.default_rng(seed)
    return np.array([statistic(panel.exchanged(random), random) for _ in range(count)])


def chance(value: float, null: Float[np.ndarray, "_"]) -> float:
    """The probability of a value as large, never 0 from finitely many exchanges."""
    return float((1 + (null >= value - 1e-12).sum()) / (1 + len(null)))


def equal(panel: Panel, random: np.random.Generator, draws: int = DRAWS) -> float:
    """P(d_train < d_test) to the nearest of equally many persons, the mean over draws of these;
    ties count half. Where many more persons trained than did not, most copies go unseen, since
    their originals are not drawn; `weighed` sees them."""
    total = 0.0
    for _ in range(draws):
        a, b = (panel.distances[:, side].min(1) for side in panel.draw(random))
        total += float((a < b).mean() + 0.5 * (a == b).mean())
    return total / draws


def weighed(panel: Panel, _random: np.random.Generator) -> float:
    """P(d_train < d_test) from all real volumes: o / (1 + o) for the odds o that a made volume's
    nearest one trained over the odds by chance, strata together after Mantel and Haenszel (1959).

    Equal to `equal` for one stratum of as many persons of both kinds with one scan each.
    """
    nearest = panel.distances.min(1, keepdims=True)
    ties = (panel.distances == nearest).astype(float)
    shares = (ties / ties.sum(1, keepdims=True)).mean(0)
    drawn, others = 0.0, 0.0
    for stratum in np.unique(panel.strata):
        at = panel.strata == stratum
        yes, no = at & panel.trained, at & ~panel.trained
        drawn += float(shares[yes].sum() * no.sum() / at.sum())
        others += float(shares[no].sum() * yes.sum() / at.sum())
    return drawn / (drawn + others) if drawn + others else 0.5


def alike(panel: Panel, _random: np.random.Generator) -> float:
    """The share of real volumes whose nearest real one of another person is on the same side;
    `panel.distances` are of real volumes to each other. More than by chance: the sides differ."""
    strangers = panel.persons[:, None] != panel.persons[None]
    nearest = np.where(strangers, panel.distances, np.inf).argmin(1)
    return float((panel.trained[nearest] == panel.trained).mean())


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `size` independent ones."""
    middle = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    reach = _Z / (1 + _Z**2 / size) * math.sqrt(share * (1 - share) / size + (_Z / size) ** 2 / 4)
    return max(0.0, middle - reach), min(1.0, middle + reach)
