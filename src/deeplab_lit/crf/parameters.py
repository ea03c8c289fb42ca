"""Parameters of the dense CRF, as every engine reads them; config/schemas.py has their defaults."""

from __future__ import annotations

from typing import Literal, Protocol

Normalization = Literal["symmetric", "after", "before", "none"]


class Parameters(Protocol):
    """The parameters that an engine reads; :class:`deeplab_lit.crf.DenseCRF` has them."""

    bilateral_weight: float
    bilateral_xy_std: float
    bilateral_rgb_std: float
    gaussian_weight: float
    gaussian_xy_std: float
    iterations: int
    normalization: Normalization
    threads: int | None
    device: str
