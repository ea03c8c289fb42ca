"""Checks of a composed training config that schemas cannot make, such as whether model and backbone fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from deeplab_lit.config.compose import choices, overrides
from deeplab_lit.config.paths import PAPER, tables
from deeplab_lit.config.recipes import RECIPES, BackboneRecipe, ModelRecipe, recipe
from deeplab_lit.config.schemas import LossConfig, PolyConfig, StepConfig, TrainConfig
from deeplab_lit.utils.errors import UserError


def check_training(cfg: DictConfig) -> None:
    """Check that a composed config describes one training.

    Raises:
        UserError: the experiment is a whole table, rows are chosen without a table, a budget is given without a row of
            a table, the backbone does not offer what the model needs, a recipe has an unknown key, or a list is given
            as one value.
    """
    _check_no_table()
    if cfg.rows is not None:
        raise UserError(
            f"rows={cfg.rows} chooses among the rows of a table: type experiments=TABLE with it, such as "
            "experiments=table4_resnet101."
        )
    if choices().get("experiments") == "wsss_compare" and not any("data.train_masks=" in each for each in overrides()):
        raise UserError(
            "experiments=wsss_compare trains once for each folder of masks: type data.train_masks=FOLDER,FOLDER, such "
            "as data=voc data.root=VOC2012 data.train_masks=irn/masks,seam/masks,null seed=0,1,2 (null: its own masks)."
        )
    if cfg.row is not None and not cfg.row.table:
        raise UserError(
            f"budget={cfg.row.budget} is for the rows of published tables: type experiments=TABLE or TABLE/ROW with "
            "it, such as experiments=table4_resnet101."
        )
    for group, kind in RECIPES.items():
        recipe(_plain(cfg[group]), kind)
    _check_pair(cfg)
    _check_lists(cfg)


def check_numbers(config: TrainConfig) -> None:
    """Check the ranges of a training's numbers.

    Raises:
        UserError: one is outside.
    """
    for name in ("eval_batch_size", "max_steps", "val_every", "crop_size", "eval_size"):
        if (value := getattr(config, name)) is not None and value < 1:
            raise UserError(f"{name}={value}: it is at least 1.")
    for name in ("lr", "weight_decay"):
        if not 0 <= (value := getattr(config.optimizer, name)) < math.inf:
            raise UserError(f"optimizer.{name}={value}: it is a finite number, at least 0.")
    if isinstance(config.schedule, (PolyConfig, StepConfig)) and config.schedule.every < 1:
        raise UserError(f"schedule.every={config.schedule.every}: it is at least 1, a number of steps.")
    if config.keep not in ("best", "last"):
        raise UserError(
            f"keep={config.keep}: choose best, the checkpoint of the highest validation mIoU, or last, the newest one."
        )
    _check_loss(config.loss)
    if config.ema is not None and not 0 < config.ema < 1:
        raise UserError(f"ema={config.ema}: it is above 0 and below 1, such as 0.999, or null for no average.")
    for name in ("num_workers", "decoded_gb", "pictures"):
        if (value := getattr(config, name)) is not None and value < 0:
            raise UserError(f"{name}={value}: it is at least 0.")


def _check_loss(loss: LossConfig) -> None:
    if loss.threshold is not None and not 0 < loss.threshold <= 1:
        raise UserError(
            f"loss.threshold={loss.threshold}: it is a probability above 0, such as 0.7, or null for all pixels."
        )
    if loss.min_kept < 0 or (loss.min_kept and loss.threshold is None):
        raise UserError(f"loss.min_kept={loss.min_kept}: a number of pixels, beside a threshold: type loss=ohem.")
    if not 0 <= loss.dense_energy < math.inf:
        raise UserError(f"loss.dense_energy={loss.dense_energy}: it is a weight of at least 0, such as 1e-7.")
    for name in ("energy_rgb_std", "energy_xy_std"):
        if not 0 < (value := getattr(loss, name)) < math.inf:
            raise UserError(f"loss.{name}={value}: it is a deviation above 0.")
    if not 0 < loss.energy_scale <= 1:
        raise UserError(f"loss.energy_scale={loss.energy_scale}: it is a factor above 0, up to 1, such as 0.5.")


def _check_no_table() -> None:
    """Raise UserError for an experiment that is a whole table, which its own sweeper runs."""
    chosen = choices().get("experiments")
    if chosen in tables():
        raise UserError(
            f"experiments={chosen} is a table: one at a time is run, as experiments={chosen} without -m; "
            f"one row of it is experiments={chosen}/ROW."
        )
    if chosen == PAPER:
        raise UserError(f"experiments={PAPER} is all tables: type it alone, with rows=TABLE,TABLE for some of them.")


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


def _check_lists(cfg: DictConfig) -> None:
    """Raise UserError for one value in the place of a list, in the groups that have no schema."""
    loader, chosen = GlobalHydra.instance().config_loader(), choices()
    for group in ("data", "backbone", "model"):
        loaded = loader.repository.load_config(f"{group}/{chosen[group]}")
        for key, default in loaded.config.items_ex(resolve=False) if loaded is not None else ():
            value = cfg[group].get(key) if isinstance(default, ListConfig) else None
            if value is not None and not isinstance(value, ListConfig):
                raise UserError(f"{group}.{key}={value}: it takes a list, such as {group}.{key}={list(default)}.")


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
