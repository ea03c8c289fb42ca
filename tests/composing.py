"""Configs as Hydra composes them from overrides."""

import hydra

from deeplab_lit.config.compose import typed
from deeplab_lit.config.hydra_store import register_schemas
from deeplab_lit.config.paths import conf_folder


def compose(*overrides, config_name="train"):
    """The composed config of a command."""
    register_schemas()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())):
        return hydra.compose(config_name, overrides=["name=test", *overrides])


def config_of(*overrides, config_name="train"):
    """The same as a typed config."""
    return typed(compose(*overrides, config_name=config_name))
