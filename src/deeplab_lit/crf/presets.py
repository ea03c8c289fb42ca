"""Presets of the dense CRF: from a config, or by the name of a choice of the config group ``crf``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import cast

from deeplab_lit.config.paths import conf_folder
from deeplab_lit.config.schemas import CRFConfig, DenseCRFConfig
from deeplab_lit.crf.dense import DenseCRF
from deeplab_lit.crf.pydensecrf import package
from deeplab_lit.utils.errors import UserError, closest

_NOT_THE_CRF = ("name", "trainable")


def build_crf(config: CRFConfig, threads: int | None = None, device: str = "auto") -> DenseCRF | None:
    """The CRF of a config; None for ``crf=none``.

    Args:
        config: the config of the group ``crf``.
        threads, device: see :class:`DenseCRF`.

    Raises:
        UserError: a parameter is not possible, or the engine is not installed.
    """
    if not isinstance(config, DenseCRFConfig):
        return None
    if config.engine == "pydensecrf":
        package()
    values = {each.name: getattr(config, each.name) for each in fields(config) if each.name not in _NOT_THE_CRF}
    return DenseCRF(**values, threads=threads, device=device)


def preset_names() -> list[str]:
    """The names of this library's presets, without that of no CRF."""
    return [name for name in _in(conf_folder() / "crf") if name != "none"]


def _in(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))


def preset(name: str, folder: Path | None = None) -> DenseCRF | None:
    """The CRF of ``conf/crf/NAME.yaml``, or of a YAML file such as the search writes.

    Args:
        name: the name of a preset (``"none"`` gives None), or the path of a file that ends with .yaml.
        folder: the folder of the presets; None: this library's.

    Raises:
        UserError: there is no such preset or file, or the file is no preset.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    folder = folder or conf_folder() / "crf"
    known = _in(folder)
    path = Path(name).expanduser() if name.endswith(".yaml") else folder / f"{name}.yaml"
    if not path.is_file():
        raise UserError(
            f"crf={name!r}: choose one of {', '.join(known)}, give a .yaml file of the same keys, or a DenseCRF."
            f"{closest(name, known)}"
        )
    try:
        content = cast(DictConfig, OmegaConf.load(path))
        content.pop("defaults", None)
        if content.get("name") == "none":
            return None
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DenseCRFConfig), content))
    except (OmegaConfBaseException, YAMLError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no preset of the CRF: {str(error).splitlines()[0]}") from error
    assert isinstance(config, DenseCRFConfig)
    return build_crf(config)
