"""A search for hyper-parameters with the real Optuna."""

import json
import multiprocessing
import re
import subprocess
import time

import pytest

from deeplab_lit.training.tune import _proposals, open_study
from deeplab_lit.utils.errors import UserError
from tests.end_to_end.running import command, use, use_alone

optuna = pytest.importorskip("optuna")

TINY = [
    "data.train_images=24", "data.val_images=5", "max_steps=4", "val_every=2", "batch_size=2", "crop_size=49",
    "num_workers=0", "backbone=timm", "backbone.name=test_resnet", "logger=csv", "pictures=0",
    "trainer.accelerator=cpu", "trainer.precision=32-true",
]  # fmt: skip


def study(folder, name="tune"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/runs/{name}/study.db")


def _open(folder, barrier):
    barrier.wait()
    open_study(folder, "tune", prune=False)


@pytest.mark.slow
def test_processes_that_make_one_study_at_once_wait_for_each_other(tmp_path):
    """Without the lock, one of two that begin together fails in every second database."""
    context = multiprocessing.get_context("fork")  # so that both begin within a millisecond
    for number in range(6):
        barrier = context.Barrier(2)
        both = [context.Process(target=_open, args=(tmp_path / str(number), barrier)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join()
        assert [process.exitcode for process in both] == [0, 0]


@pytest.mark.slow
def test_a_search_goes_on_until_its_number_of_trials(tmp_path):
    done = use("tune", tmp_path, "search.trials=2", *TINY)
    trials = study(tmp_path).trials
    runs = sorted((tmp_path / "runs/tune").glob("trial-*/*"))
    assert "has another config" not in done.stdout
    for trial, run in zip(trials, runs, strict=True):
        result = json.loads((run / "result.json").read_text())
        assert trial.value == pytest.approx(result["miou"]) and 1e-4 <= trial.params["optimizer.lr"] <= 1e-2
        config = (run / "config.yaml").read_text()
        assert float(re.search(r"optimizer:\n(?:  .*\n)*?  lr: (.*)", config)[1]) == pytest.approx(
            trial.params["optimizer.lr"]
        )
        assert len(trial.intermediate_values) == 2  # both validations
    best = max(trials, key=lambda trial: trial.value)
    assert f"'model.rates={best.params['model.rates']}'" in done.stdout.splitlines()[-1]
    use("tune", tmp_path, "search.trials=3", *TINY)
    assert len({trial.params["optimizer.lr"] for trial in study(tmp_path).trials}) == 3
    use("tune", tmp_path, "search.trials=3", *TINY)
    assert len(study(tmp_path).trials) == 3


@pytest.mark.long
def test_processes_share_out_the_trials(tmp_path):
    whole = command("tune", "search.trials=4", *TINY)
    both = [subprocess.Popen(whole, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    trials = study(tmp_path).trials
    # each may have begun its last while the other's was going on
    assert {trial.state.name for trial in trials} == {"COMPLETE"} and len(trials) in (4, 5)
    assert len({trial.params["optimizer.lr"] for trial in trials}) == len(trials)
    assert all("trial " in each for each in said)


@pytest.mark.long
def test_trials_below_the_median_are_stopped(tmp_path):
    """Without learning after some that learn."""
    space = ["max_steps=30", "val_every=10"]
    lr = "++search.space.optimizer.lr={low:%s,high:%s,log:true}"
    arguments = [argument for argument in TINY if not argument.startswith(("max_steps", "val_every"))]
    use("tune", tmp_path, "search.trials=4", lr % (5e-3, 1e-2), *space, *arguments)
    before = study(tmp_path).trials
    assert {trial.state.name for trial in before} == {"COMPLETE"}
    use("tune", tmp_path, "search.trials=5", lr % (1e-9, 1e-8), *space, *arguments)
    last = study(tmp_path).trials[-1]
    median = sorted(trial.intermediate_values[10] for trial in before)[1:3]
    assert last.intermediate_values[10] < sum(median) / 2
    assert last.state.name == "PRUNED" and list(last.intermediate_values) == [10]


@pytest.mark.long
def test_a_killed_trial_is_run_again_from_its_checkpoint(tmp_path):
    """Optuna takes a trial for dead when it gave no sign of life for two minutes."""
    arguments = [argument for argument in TINY if not argument.startswith("max_steps")] + ["max_steps=400"]
    whole = command("tune", "search.trials=1", *arguments)
    process = subprocess.Popen(whole, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "runs").glob("tune/trial-*/*/checkpoints/last.ckpt")):
        time.sleep(0.1)
        assert process.poll() is None
    process.kill()
    process.wait()
    (killed,) = study(tmp_path).trials
    assert killed.state.name == "RUNNING"
    time.sleep(125)
    subprocess.run(whole, cwd=tmp_path, check=True, timeout=400)
    first, second = study(tmp_path).trials
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE") and first.params == second.params
    (run,) = (tmp_path / "runs/tune/trials").iterdir()  # the same run went on
    assert json.loads((run / "result.json").read_text())["steps"] == 400


@pytest.mark.parametrize("space", [{}, {"optimizer": {"lr": 3}}, {"x": {"low": 1}}, {"x": {"choices": [1], "low": 2}}])
def test_what_is_no_space_is_refused(space):
    with pytest.raises(UserError, match="low: NUMBER, high: NUMBER"):
        _proposals(space)


@pytest.mark.filterwarnings("ignore:The value 0.30000000000000004")  # which Optuna's own samplers propose
def test_proposals_are_overrides():
    space = {"a": {"b": {"low": 1, "high": 3}, "c": {"choices": [[1, 2]]}}, "d": {"low": 0.1, "high": 0.3, "step": 0.1}}
    trial = optuna.trial.FixedTrial({"a.b": 2, "a.c": "[1, 2]", "d": 0.30000000000000004})
    assert _proposals(space)(trial) == ["a.b=2", "a.c=[1, 2]", "d=0.3"]


@pytest.mark.long
def test_a_trial_takes_several_processes(tmp_path):
    """Each process asked the study for a trial of its own, and their gradients were averaged."""
    two = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    use_alone("tune", tmp_path, "search.trials=2", *TINY, *two, env={"OMP_NUM_THREADS": "1"})
    trials = study(tmp_path).trials
    runs = sorted((tmp_path / "runs/tune").glob("trial-*/*"))
    assert "has another config" not in done.stdout
    assert len(trials) == len(runs) == 2
    for trial, run in zip(trials, runs, strict=True):
        result = json.loads((run / "result.json").read_text())
        assert trial.value == pytest.approx(result["miou"]) and result["global_batch_size"] == 4
        assert len(trial.intermediate_values) == 2


@pytest.mark.long
def test_a_trial_of_several_processes_is_pruned(tmp_path, monkeypatch):
    """By a study whose pruner stops every trial at its first validation."""
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: True)
    two = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(ValueError):  # no trial is complete, so there is no best one
        use("tune", tmp_path, "search.trials=1", *TINY, *two, "max_steps=400")
    (trial,) = study(tmp_path).trials
    (run,) = (tmp_path / "runs/tune/trials").iterdir()
    assert trial.state.name == "PRUNED" and not (run / "result.json").exists()
