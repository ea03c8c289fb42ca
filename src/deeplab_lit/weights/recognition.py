"""Recognition of state dicts of other code bases by the names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from deeplab_lit.data.labels import VOID
from deeplab_lit.utils.errors import UserError
from deeplab_lit.weights.foreign import Foreign
from deeplab_lit.weights.state_dicts import RATES, Layout, is_counter, known

_WRAPPERS = ("module.", "base.", "scale.")
_CHOICES = (list(RATES), list(RATES[:2]))


def convert_state_dict(state: Mapping[str, Tensor], source: str, rates: Sequence[int] | None = None) -> Foreign:
    """Recognise a state dict by its names and shapes, and convert it to this library's names.

    Args:
        state: tensors by name; all names may have the prefixes of wrappers (``module.``, ``base.``).
        source: the name of the file, for messages.
        rates: of the classifiers that the network sums, for a layout that does not tell them.

    Raises:
        UserError: no known layout fits completely, and the message says what was found and what the nearest one lacks;
            or the layout does not tell the rates, and none or impossible ones are given.
    """
    names, multi_scale = _unwrapped(state)
    names = {name: value for name, value in names.items() if not is_counter(name)}
    nearest = min((Comparison.of(layout, names) for layout in known()), key=Comparison.distance)
    layout = nearest.layout
    if nearest.missing or nearest.extra or nearest.other:
        raise UserError(_refusal(state, source, nearest))
    classes = layout.classes(names)
    if layout.model and not 2 <= classes <= VOID:
        raise UserError(f"{source} is {layout.what}, and scores {classes} classes: 2 to {VOID} are possible.")
    return layout.convert(names, multi_scale, None if layout.tells_rates else _chosen(rates, layout, source))


def _unwrapped(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The names without their common prefixes, and whether a prefix is that of multi-scale inputs."""
    names, multi_scale = dict(state), False
    for prefix in _WRAPPERS * 2:
        if names and all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): value for name, value in names.items()}
            multi_scale |= prefix != "module."
    return names, multi_scale


@dataclass(frozen=True)
class Comparison:
    """What a file has of a layout: the number of names in both, and what is missing, left over or of another shape."""

    layout: Layout
    shared: int
    missing: list[str]
    extra: list[str]
    other: list[str]

    @classmethod
    def of(cls, layout: Layout, state: Mapping[str, Tensor]) -> Comparison:
        """Compare the tensors of a file with a layout."""
        expected = layout.expected(layout.classes(state))
        missing = [name for name in expected if name not in state]
        extra = [name for name in state if name not in expected]
        shapes = {name: tuple(state[name].shape) for name in expected if name in state}
        other = [f"{name} {shape} for {expected[name]}" for name, shape in shapes.items() if shape != expected[name]]
        return cls(layout, len(shapes), missing, extra, other)

    def distance(self) -> tuple[int, int]:
        """Smaller for a nearer layout: the names in common decide, then the differences."""
        return -self.shared, len(self.missing) + len(self.other)


def _refusal(state: Mapping[str, Tensor], source: str, nearest: Comparison) -> str:
    first = ", ".join(f"{name} {tuple(value.shape)}" for name, value in list(state.items())[:4])
    found = f"{source} holds {len(state)} tensors that begin with {first or 'nothing'}."
    if not nearest.shared:
        begin = ", ".join(dict.fromkeys(next(iter(layout.expected(1))) for layout in known()))
        return f"{found} No layout that is known has such names: they begin with {begin}."
    parts = {"are missing": nearest.missing, "have no place": nearest.extra, "have another shape": nearest.other}
    said = "; ".join(f"{len(names)} {what} ({_some(names)})" for what, names in parts.items() if names)
    layout = nearest.layout
    return f"{found} The nearest layout is {layout.what} ({layout.examples}), but {said}. Nothing was loaded."


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


def _chosen(rates: Sequence[int] | None, layout: Layout, source: str) -> list[int]:
    """The rates that the user gives; raises UserError, which asks for them, if none or impossible ones are given."""
    if rates is not None and list(rates) in _CHOICES:
        return list(rates)
    wrong = "" if rates is None else f"rates={list(rates)} is not possible: "
    raise UserError(
        f"{wrong}{source} is {layout.what}, and cannot tell whether all four of its classifiers are summed or, as in "
        "AdvSemiSeg and AdaptSegNet, the first two alone: give rates=[6,12,18,24] or rates=[6,12] to convert or "
        "deeplab_lit.load, or init.rates to train; the other commands take the file that convert writes."
    )
