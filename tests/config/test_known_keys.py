"""A key that nothing reads is refused, before torch is imported."""

import pytest

from deeplab_lit.config.paths import experiments_folder
from deeplab_lit.utils.errors import UserError
from tests.composing import config_of


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ("+optimizer.anything=1", "optimizer.anything is not a key of this configuration. "),
        ("+optimizer.momentun=1", "optimizer.momentun is not a key"),
        ("+augment.flips=1", "Did you mean 'augment.flip'"),
        ("+crf.x=1", "crf.x is not a key"),
        ("+max_step=5", "max_step is not a key of this configuration. Did you mean 'max_steps'"),
        ("++lr=5", "Did you mean 'optimizer.lr'"),
        ("+roots.vocs=x", "Did you mean 'roots.voc'"),
        ("+parity.stride=1x1", "Did you mean 'parity.stride_on'"),
        ("+logger.tensorbord={}", "Did you mean 'logger.tensorboard'"),
    ],
)
def test_a_key_that_nothing_reads_is_refused_with_the_nearest_one(added, words):
    with pytest.raises(UserError, match=words):
        config_of(added)


@pytest.mark.parametrize("command", ["check_data", "tune", "summary"])
def test_other_commands_too(command):
    with pytest.raises(UserError, match="outputs is not a key of this configuration. Did you mean 'output'"):
        config_of("+outputs=x", config_name=command)


def test_arguments_of_what_a_group_describes_are_not_checked_here():
    added = ["+trainer.limit_val_batches=0.5", "+data.x=1", "+backbone.x=1", "+model.x=1", "+logger.wandb.entity=me"]
    config = config_of(*added)
    assert config.trainer["limit_val_batches"] == 0.5 and config.logger.wandb["entity"] == "me"


def test_a_key_that_a_value_refers_to_is_read():
    assert config_of("+mine.rate=0.25", "optimizer.lr=${mine.rate}").optimizer.lr == 0.25
    assert config_of("+mine={lr: 0.5}", "optimizer.lr=${oc.select:mine.lr,1}").optimizer.lr == 0.5
    with pytest.raises(UserError, match="^mine is not a key"):
        config_of("+mine.rate=0.25")


def test_rows_and_budgets_have_known_keys_alone():
    """Of the other groups, tests/config/test_hydra_store.py composes each choice."""
    files = [*experiments_folder().glob("table*/*.yaml"), *experiments_folder().glob("v1*/*.yaml")]
    rows = [[f"experiments={file.parent.name}/{file.stem}"] for file in files]
    rows += [["experiments=table4_resnet101/msc", f"budget={budget}"] for budget in ("full", "subset", "mini")]
    for row in rows:
        assert config_of(*row, "roots.voc=x", "roots.sbd=x", "roots.coco=x").row is not None
