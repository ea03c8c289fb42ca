"""Statistics of a value over seeds: mean, standard deviation and confidence interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

NOISE = "~"
"""The mark behind a gain that may be noise."""


@dataclass(frozen=True)
class OverSeeds:
    """A value that was measured once with each of several seeds, or the difference of two such values.

    Attributes:
        values: by seed, at least one.
    """

    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a sample (divided by n - 1); None for one seed."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean: Student's t with n - 1 degrees of freedom; None for one seed."""
        if self.deviation is None:
            return None
        from scipy.special import stdtrit  # the quantile of Student's t; slow to import

        count = len(self.values)
        half = float(stdtrit(count - 1, 0.975)) * self.deviation / math.sqrt(count)
        return self.mean - half, self.mean + half

    @property
    def within_noise(self) -> bool:
        """Whether the mean may be 0: its interval contains 0, or there is one seed and thus no interval."""
        return self.interval is None or self.interval[0] <= 0 <= self.interval[1]

    def over(self, before: OverSeeds) -> OverSeeds | None:
        """The differences to ``before``, paired by seed; None if no seed is in both."""
        paired = {seed: now - before.values[seed] for seed, now in self.values.items() if seed in before.values}
        return OverSeeds(paired) if paired else None

    def __str__(self) -> str:
        """As ``71.33 ± 1.04``, without a deviation for one seed."""
        return f"{self.mean:.2f}{self._deviation}"

    @property
    def as_gain(self) -> str:
        """As ``+3.33 ± 1.04``, with :data:`NOISE` behind it if it may be noise."""
        return f"{signed(self.mean)}{self._deviation}{f' {NOISE}' if self.within_noise else ''}"

    @property
    def interval_text(self) -> str:
        """As ``+0.74 to +5.92``, or ``one seed``."""
        return "one seed" if self.interval is None else " to ".join(map(signed, self.interval))

    @property
    def _deviation(self) -> str:
        return "" if self.deviation is None else f" ± {self.deviation:.2f}"


def signed(value: float | None) -> str:
    """A difference with its sign; no difference is ``+0.00``."""
    return "" if value is None else f"{round(value, 2) + 0.0:+.2f}"
