"""Inputs of every command that uses a trained network: the network, the examples, the threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeplab_lit.config.command_schemas import CRFSearchConfig, EvaluateConfig, UseConfig
from deeplab_lit.data.labels import LabelSet
from deeplab_lit.data.source import open_source
from deeplab_lit.data.split import Split
from deeplab_lit.inference.predictor import Predictor, Scorer
from deeplab_lit.inference.trained import Trained, load
from deeplab_lit.models.fused_scales import FusedScales
from deeplab_lit.models.network import fused_at
from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.fetch import BEST, is_url
from deeplab_lit.utils.hardware import set_tf32
from deeplab_lit.utils.instantiate import OWN
from deeplab_lit.utils.parallel import cores
from deeplab_lit.utils.progress import Progress
from deeplab_lit.utils.shards import processes_here
from deeplab_lit.weights.foreign import names_for


def open_network(config: UseConfig, eval_size: int | None = None) -> tuple[Trained, Predictor]:
    """The network of a checkpoint, at the scales that the config asks for.

    Args:
        config: the config of the command.
        eval_size: the least height and width in pixels that images are padded to; None: the checkpoint's.

    Raises:
        UserError: no checkpoint is given; or as :func:`deeplab_lit.load` and :class:`Predictor`.
    """
    if config.checkpoint is None:
        raise UserError(
            f"checkpoint is required: type checkpoint=RUN_DIRECTORY, whose {BEST} is taken, or checkpoint=FILE."
        )
    set_tf32(config.tf32)
    trained = load(config.checkpoint, config.allow)
    predictor = Predictor(
        _as_tested(trained.network, config),
        trained.normalization,
        eval_size or trained.eval_size,
        config.flip,
        config.window,
        config.overlap,
        config.device,
        config.precision,
    )
    return trained, predictor


def _as_tested(network: Scorer, config: UseConfig) -> Scorer | FusedScales:
    """The network at the scales and with the fusion of the config."""
    if config.flip and config.flip_scales:
        raise UserError("flip=true and flip_scales=true mirror the image twice: leave one of them out.")
    unchanged = config.fusion == "max_scores" and not config.flip_scales and config.max_side is None
    if config.scales is None and unchanged:
        return network
    scales = getattr(network, "scales", [1.0]) if config.scales is None else config.scales.factors
    return fused_at(network, scales, config.fusion, config.flip_scales, config.max_side)


def open_split(
    trained: Trained, config: EvaluateConfig | CRFSearchConfig, progress: Progress | None = None
) -> tuple[LabelSet, Split]:
    """The label set and the split to evaluate on.

    The data set is that of the config, or else the one that the checkpoint was trained on.

    Raises:
        UserError: the split is unknown, no data set is named, its classes are not the checkpoint's, or a file is
            missing.
    """
    data, checkpoint = config.data, config.checkpoint
    if config.split not in ("train", "val"):
        raise UserError(f"split={config.split}: choose train or val.")
    if data is None and trained.data is None:
        raise UserError(f"{checkpoint} does not say which data set it was trained on: type data=NAME and its keys.")
    # a config out of a checkpoint may name classes of this library and of allowed packages only
    source = (
        open_source(trained.data or {}, progress, (*OWN, *config.allow))
        if data is None
        else open_source(data, progress)
    )
    _check_classes(trained, source.labels.names, checkpoint)
    pixels = trained.normalization.pixels
    if source.pixels != pixels:
        raise UserError(
            f"{checkpoint} takes images with {pixels}, the data set has {source.pixels}: type data.channels="
            f"{pixels.channels} data.bits={pixels.bits} if its files have them, or give the data set that it was "
            "trained for."
        )
    return source.labels, source.split(config.split)


def _check_classes(trained: Trained, theirs: Sequence[str], checkpoint: str | None) -> None:
    """Raise a UserError unless the classes of a data set are those that the network scores, in the same order.

    Files of other code bases name no classes. The names that reading gave them are compared only where the data set
    has the same names: then the order is known to be wrong.
    """
    ours = trained.labels.names
    if len(ours) != len(theirs):
        raise UserError(
            f"{checkpoint} scores {len(ours)} classes ({', '.join(ours[:4])}, ...), the data set has {len(theirs)} "
            f"({', '.join(theirs[:4])}, ...): give the data set that it was trained for."
        )
    convention = names_for(len(ours)) if "source" in trained.description else None
    if convention is not None and ours == convention.names and set(ours) != set(theirs):
        return
    for number, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if own != other:
            raise UserError(
                f"{checkpoint} scores {own!r} as class {number}, which is {other!r} in the data set: give the data set "
                "that it was trained for; if the classes are the same under other names, write their names into a "
                f"copy with python -m deeplab_lit.convert source={checkpoint} out=named.ckpt classes=FILE, where FILE "
                "is the class list of the data set."
            )


def every(count: int, wanted: int | None) -> list[int]:
    """``wanted`` evenly spaced indices below ``count``; all indices if ``wanted`` is None or too large.

    Raises:
        UserError: ``wanted`` is less than 1.
    """
    if wanted is None or wanted >= count:
        return list(range(count))
    if wanted < 1:
        raise UserError(f"images={wanted}: it is at least 1.")
    return [i * count // wanted for i in range(wanted)]


def workers(given: int | None) -> int:
    """The number of threads for reading, the CRF and writing: ``given``, or one for each core.

    Processes that torchrun started on this machine share its cores.

    Raises:
        UserError: ``given`` is less than 1.
    """
    if given is not None and given < 1:
        raise UserError(f"workers={given}: it is at least 1, or null for one for each core.")
    return given or max(1, cores() // processes_here())


def run_name(checkpoint: str | None) -> str:
    """The name for the results of a checkpoint: that of its run, or else of its file."""
    assert checkpoint is not None
    if is_url(checkpoint):
        return Path(checkpoint.rstrip("/").rsplit("/", 1)[-1]).stem
    path = Path(checkpoint).expanduser().resolve()
    path = path / BEST if (path / BEST).is_file() else path
    if path.parent.name == "checkpoints":
        run = path.parent.parent
        return f"{run.parent.name}-{run.name}" if run.parent.name else run.name
    return path.stem
