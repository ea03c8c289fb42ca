"""Checks of a composed training config that schemas cannot make, such as whether model and backbone fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from deeplab_lit.config.compose import choices
from deeplab_lit.config.paths import tables
from deeplab_lit.config.recipes import RECIPES, BackboneRecipe, ModelRecipe, recipe
from deeplab_lit.utils.errors import UserError


def check_training(cfg: DictConfig) -> None:
    """Check that a composed config describes one training.

    Raises:
        UserError: the experiment is a whole table, a budget is given without a row of a table, the backbone does not
            offer what the model needs, or a recipe has an unknown key.
    """
    _check_no_table()
    if cfg.row is not None and not cfg.row.table:
        raise UserError(
            f"budget={cfg.row.budget} is for the rows of published tables: type experiments=TABLE or TABLE/ROW with "
            "it, such as experiments=table4_resnet101."
        )
    for group, kind in RECIPES.items():
        recipe(_plain(cfg[group]), kind)
    _check_pair(cfg)


def _check_no_table() -> None:
    """Raise UserError for an experiment that is a whole table, which its own sweeper runs."""
    chosen = choices().get("experiments")
    if chosen in tables():
        raise UserError(
            f"experiments={chosen} is a table: one at a time is run, as experiments={chosen} without -m; "
            f"one row of it is experiments={chosen}/ROW."
        )


def _check_pair(cfg: DictConfig) -> None:
    if _go_together(cfg.model, cfg.backbone):
        return
    chosen = choices()
    model, backbone = chosen["model"], chosen["backbone"]
    models = [name for name, other in _options("model") if _go_together(other, cfg.backbone)]
    backbones = [name for name, other in _options("backbone") if _go_together(cfg.model, other)]
    raise UserError(
        f"model={model} does not go with backbone={backbone}: it needs {cfg.model.recipe.needs!r}, which that trunk "
        f"does not offer. With backbone={backbone} go model={', '.join(models)}; with model={model} goes "
        f"backbone={', '.join(backbones) or 'none'}."
    )


def _go_together(model: DictConfig, backbone: DictConfig) -> bool:
    """Whether the trunk offers what the head needs. Either may be a config that is not composed or resolved."""
    needs = OmegaConf.select(model, "recipe.needs") or ModelRecipe().needs
    return needs is None or needs in (OmegaConf.select(backbone, "recipe.offers") or BackboneRecipe().offers)


def _plain(node: DictConfig) -> dict[str, Any]:
    return {"recipe": OmegaConf.to_container(node.recipe, resolve=True)} if "recipe" in node else {}


def _options(group: str) -> Iterator[tuple[str, DictConfig]]:
    loader = GlobalHydra.instance().config_loader()
    for name in loader.get_group_options(group):
        loaded = loader.repository.load_config(f"{group}/{name}")
        if loaded is not None:
            yield name, loaded.config
