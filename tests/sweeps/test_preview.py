"""A preview measures one process, whatever the trainings are told."""

import multiprocessing

from deeplab_lit.sweeps.preview import Planned, preview
from tests.composing import config_of
from tests.training.test_build import TINY


def test_a_training_of_several_processes_is_measured_in_this_one(monkeypatch):
    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Process", None)
    config = config_of(*TINY, "trainer.devices=2", "+trainer.strategy=ddp_spawn", "model=largefov")
    (found,) = preview([Planned("row", config, True)])
    assert found["seconds_per_step"] > 0 and found["steps"] == 2


def test_the_notes_are_of_the_rows_that_are_there(capsys):
    config = config_of(*TINY, "model=largefov")
    preview([Planned("row", config, True)])
    alone = capsys.readouterr().out
    assert "0 steps" not in alone and "processes" not in alone and "\nall" not in alone
    preview([Planned("row", config, True), Planned("done", config, False)])
    both = capsys.readouterr().out
    assert "0 steps: done already" in both and "\nall" in both
