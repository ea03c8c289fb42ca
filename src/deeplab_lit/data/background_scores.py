"""Background scores, which class activation maps lack: the methods of the code bases of weak supervision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeplab_lit.config.command_schemas import PseudoConfig
from deeplab_lit.data.score_files import check_form
from deeplab_lit.utils.arrays import Floats
from deeplab_lit.utils.errors import UserError, closest

AUTO = "auto"
_DEFAULTS: dict[str, dict[str, float]] = {
    "threshold": {"threshold": 0.25},
    "power": {"alpha": 4.0},
    "complement": {},
    "two_thresholds": {"foreground_threshold": 0.30, "background_threshold": 0.05},
    "given": {},
}
"""The methods, each with its keys and their defaults."""


@dataclass(frozen=True)
class BackgroundMethod:
    """How the background is scored.

    Attributes:
        name: ``threshold``, ``power``, ``complement``, ``two_thresholds`` or ``given``.
        values: the method's keys; ``threshold`` may be ``"auto"``.
    """

    name: str
    values: dict[str, float | str]

    def score(self, highest: Floats) -> Floats:
        """The background's score, of the highest activation (H, W) of each pixel; not of the last two methods."""
        if self.name == "threshold":
            return np.full_like(highest, self.values["threshold"])
        left = 1 - highest
        return left if self.name == "complement" else left ** np.float32(self.values["alpha"])

    def thresholds(self) -> list[float]:
        """The activations above which a pixel is foreground; :meth:`score` equals the activation there."""
        if self.name == "power":
            return [threshold_of(float(self.values["alpha"]))]
        if self.name == "complement":
            return [threshold_of(1.0)]
        return [each for each in self.values.values() if isinstance(each, float)]


def background_method(config: PseudoConfig) -> BackgroundMethod:
    """The method of a config, with its own defaults in place of null.

    Raises:
        UserError: there is no such method, or a value is not possible or belongs to another method.
    """
    name = config.background
    if name not in _DEFAULTS:
        raise UserError(f"background={name}: choose one of {', '.join(_DEFAULTS)}.{closest(name, _DEFAULTS)}")
    values: dict[str, float | str] = {}
    for method, defaults in _DEFAULTS.items():
        for key, default in defaults.items():
            given = getattr(config, key)
            if method == name:
                values[key] = default if given is None else _checked(key, given)
            elif given is not None:
                raise UserError(
                    f"{key}={given} belongs to background={method}, and this is background={name}: leave it out, or "
                    f"type background={method}."
                )
    if name == "two_thresholds" and values["background_threshold"] >= values["foreground_threshold"]:  # type: ignore[operator]
        raise UserError(
            f"foreground_threshold={values['foreground_threshold']}, background_threshold="
            f"{values['background_threshold']}: the first is the higher one, such as 0.3 and 0.05."
        )
    return BackgroundMethod(name, values)


def check_pseudo(config: PseudoConfig) -> None:
    """Raise UserError if a value of the config is not possible, or two do not go together."""
    check_form(config)
    method = background_method(config)
    crf, certainty = config.crf.name != "none", getattr(config.crf, "certainty", None)
    if method.name != "given" and config.values != "probabilities":
        raise UserError(f"values={config.values} belongs to background=given: activation maps are from 0 to 1.")
    if method.name == "two_thresholds" and crf and certainty is None:
        raise UserError(
            "background=two_thresholds gives the CRF hard labels: type crf=irn_labels, or say how certain they are, "
            "crf.certainty=0.7."
        )
    if method.name == "two_thresholds" and config.uncertain is not None:
        raise UserError(
            f"uncertain={config.uncertain}: background=two_thresholds has no probabilities, and sets its uncertain "
            "pixels to void itself; leave uncertain out."
        )
    if method.name == "two_thresholds" and config.confidence:
        raise UserError(
            "confidence=true: background=two_thresholds has no probabilities; leave it out, or type another background."
        )
    if config.uncertain is not None and not 0 < config.uncertain < 1:
        raise UserError(f"uncertain={config.uncertain}: it is a probability between 0 and 1, such as 0.95.")
    if method.name == "given" and config.masks is not None:
        raise UserError(
            "masks=... draws the mIoU over thresholds, of which background=given has none: leave it out, and score "
            "the masks with the command audit."
        )


def _checked(key: str, given: object) -> float | str:
    if key == "threshold" and given == AUTO:
        return AUTO
    number = float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else float("nan")
    if key == "alpha" and not 0 < number <= 1000:
        raise UserError(f"alpha={given}: it is a number above 0 and up to 1000; SEAM has 4 and 24.")
    if key != "alpha" and not 0 < number < 1:
        raise UserError(
            f"{key}={given}: it is between 0 and 1, as activations are"
            f"{', or auto for the one that a rule finds' if key == 'threshold' else ''}."
        )
    return number


def alpha_of(threshold: float) -> float:
    """The alpha with which (1 - m) ** alpha equals m at this threshold, so that both methods make the same masks."""
    return float(np.log(threshold) / np.log1p(-threshold))


def threshold_of(alpha: float) -> float:
    """The threshold that makes the same masks as this alpha; the inverse of :func:`alpha_of`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle < (1 - middle) ** alpha else (low, middle)
    return high
