"""Recipes: values of a data set, a trunk, a head or a trainer that other parts of the config read.

A recipe is the key ``recipe`` in a config file of these groups. For example, a data set's recipe holds the default crop
size of a training, and a trunk's recipe the default learning rate of the optimiser.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from deeplab_lit.config.keys import key
from deeplab_lit.utils.errors import UserError, closest


@dataclass(frozen=True)
class DataRecipe:
    """The recipe of a data set: defaults of a training on it."""

    crop_size: int | None = key("pixels a side of training crops", None)
    eval_size: int | None = key("pixels a side that validation images are padded to", None)
    batch_size: int | None = key("training images in a step", None)
    eval_batch_size: int | None = key("validation images at once", None)
    max_steps: int | None = key("optimiser steps", None)
    val_every: int | None = key("steps between validations", None)
    rate_scale: float = key("multiplies the rates of heads, which are published for maps of 41 x 41", 1.0)
    classes: int | None = key("how many, where that is known without the data", None)
    images: dict[str, int] | None = key("training images of each domain, at budget=mini", None)


@dataclass(frozen=True)
class BackboneRecipe:
    """The recipe of a trunk: learning rates, widths of its heads, and which heads can be built on it."""

    sgd_lr: float | None = key("learning rate of optimizer=sgd", None)
    adamw_lr: float | None = key("learning rate of optimizer=adamw", None)
    head_width: int | None = key("width of fc6 and fc7; null: heads go straight to the classes", None)
    fc6_width: int | None = key("width of the wide heads of table 1; null: 4096", None)
    pool5a: bool = key("LargeFOV begins with an average pooling", False)
    offers: list[str] = key("what models may need of it: direct, fc6, pools", factory=lambda: ["direct"])
    normalization: Any = key("of the input that its ImageNet weights were trained with; own: the trunk knows it", None)


@dataclass(frozen=True)
class ModelRecipe:
    """The recipe of a head: which trunks it can be built on, and which layers are trained."""

    needs: str | None = key("the one of the trunk's offers that it is built on", None)
    train_only_new: bool = key("its new layers alone are trained", False)


@dataclass(frozen=True)
class TrainerRecipe:
    """The recipe of a trainer."""

    resume: str | None = key("a requeued job goes on: auto", None)


RECIPES: dict[str, type] = {
    "data": DataRecipe,
    "backbone": BackboneRecipe,
    "model": ModelRecipe,
    "trainer": TrainerRecipe,
}
"""The class of the recipe of each config group that has one."""

Recipe = TypeVar("Recipe")


def recipe(component: Mapping[str, Any], kind: type[Recipe]) -> Recipe:
    """The recipe of a component; its defaults where the component has none.

    Raises:
        UserError: the recipe has a key that is not a field of ``kind``.
    """
    given = component.get("recipe") or {}
    known = [each.name for each in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            group = next(group for group, each in RECIPES.items() if each is kind)
            raise UserError(
                f"{group}.recipe.{name} is not known: a recipe of the group {group} holds {', '.join(known)}."
                f"{closest(str(name), known)}"
            )
    return kind(**given)


def without_recipe(component: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a component without its recipe."""
    return {name: value for name, value in component.items() if name != "recipe"}
