"""How many items of a group must be compared to say something about all of them.

The statement: "with a confidence of C, fewer than a share M of these N items differ", made when none of a random sample
of n items does. n is the smallest sample that misses every one of D = max(1, ⌈M·N⌉) differing items with a probability
of at most 1 - C. Drawing without putting back from a finite population is hypergeometric:

    P(none of the D is drawn) = C(N-D, n) / C(N, n) ≤ 1 - C

Small groups need nearly all of their items, large ones never more than ⌈ln(1-C) / ln(1-M)⌉ (the same with putting back):
299 for a confidence of 95 % and a margin of 1 %.
"""

from __future__ import annotations

import math

from migrator.record import record

SAMPLE = 100
"""Items per mailbox that a verification looks into where nothing else is asked for."""
_SLACK = 1e-9  # of sums of logarithms, so that 95 of 100 is not 96


@record
class Confidence:
    """confidence and margin as shares: 0.95 and 0.01. Both above 0 and below 1."""

    confidence: float
    margin: float

    def __post_init__(self) -> None:
        for name in ("confidence", "margin"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} lies between 0 and 1")

    def most(self) -> int:
        """No group needs a larger sample, however large it is."""
        return math.ceil(math.log(1 - self.confidence) / math.log(1 - self.margin) - _SLACK)

    def needed(self, population: int) -> int:
        """The size of the sample for a group of so many items; 0 for none."""
        if population <= 0:
            return 0
        differing = max(1, math.ceil(self.margin * population - _SLACK))
        bound = math.log(1 - self.confidence) + _SLACK
        least, enough = 1, population - differing + 1  # so many draws cannot miss
        while least < enough:
            middle = (least + enough) // 2
            if _log_missed(population, differing, middle) <= bound:
                enough = middle
            else:
                least = middle + 1
        return least


def _log_missed(population: int, differing: int, drawn: int) -> float:
    """ln of the probability that none of the differing ones is drawn."""
    if drawn > population - differing:
        return -math.inf
    lg = math.lgamma
    return (
        lg(population - differing + 1)
        - lg(population - differing - drawn + 1)
        - lg(population + 1)
        + lg(population - drawn + 1)
    )
