"""Train: make the plan of a training, build it, fit it, and score its best checkpoint."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

from lightning.pytorch.callbacks import Callback

from deeplab_lit.config.schemas import TrainConfig
from deeplab_lit.training.build import Training, build
from deeplab_lit.training.final_score import score_best, score_finished
from deeplab_lit.training.interrupts import OF_CLUSTERS, requeued_outside_the_steps
from deeplab_lit.training.log import quiet_libraries
from deeplab_lit.training.not_finite import LossNotFinite
from deeplab_lit.training.plan import make_plan
from deeplab_lit.training.result import Result
from deeplab_lit.training.runs import changed_masks, finished_message
from deeplab_lit.training.start_summary import show_summary
from deeplab_lit.utils.errors import Interrupted, UserError
from deeplab_lit.utils.files import write_json
from deeplab_lit.utils.freed_memory import keep_freed_memory
from deeplab_lit.utils.hardware import is_first_process, lost_another_process, set_tf32
from deeplab_lit.utils.parallel import own_start_method


def train(config: TrainConfig, command: str, watchers: Sequence[Callback] = ()) -> Result:
    """Run a whole training.

    Args:
        config: as composed.
        command: what the user typed, for result.json.
        watchers: callbacks beside those that every training has.

    Returns:
        The content of result.json, also of a resumed run that was finished before, of which nothing is written.

    Raises:
        UserError: the config cannot work; raised before the first batch where possible.
        Interrupted: a signal has stopped the training, and a checkpoint has been saved.
    """
    quiet_libraries()
    own_start_method()
    plan = make_plan(config)
    if plan.first and plan.resumed and (warning := changed_masks(plan.resumed, config)):
        print(warning)
    if plan.done:
        assert plan.resumed is not None
        if plan.first:
            print(finished_message(plan.resumed))
        return Result.read(plan.resumed.result)
    set_tf32(config.tf32)
    keep_freed_memory()
    with requeued_outside_the_steps(command), build(plan, command, watchers) as training:
        if plan.trained:
            return score_finished(training, plan.trained, command)
        if plan.first:
            show_summary(training)
        fit(training)
        return score_best(training, command)


def train_or_exit(config: TrainConfig, command: str) -> None:
    """:func:`train` for the command line.

    If a signal stopped the training, the first process exits with status 128 + signal number, the others with 0.

    Raises:
        UserError: as :func:`train`, or another process of this training has ended.
    """
    try:
        train(config, command)
    except Interrupted as stopped:
        for signum in OF_CLUSTERS:
            if signal.getsignal(signum) == signal.SIG_DFL:  # clusters repeat their signals, while this process ends
                signal.signal(signum, signal.SIG_IGN)
            elif signum == stopped.signum:  # that of the launcher of this job: submitit has SLURM start it again
                signal.raise_signal(signum)
        # a launcher of several processes takes a status other than 0 for a crash
        if is_first_process():
            print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signum if is_first_process() else 0)
    except RuntimeError as error:
        if not lost_another_process(error):
            raise
        raise UserError("another process of this training has ended; it says why in its own output.") from error


def fit(training: Training) -> None:
    """Train to the last step, from the beginning or from the checkpoint that is resumed.

    Raises:
        UserError: the loss is not finite, or a loader process was killed.
    """
    try:
        training.trainer.fit(training.segmenter, training.data, ckpt_path=training.run.resume_from, weights_only=True)
    except LossNotFinite as error:
        if not training.plan.first:  # the first process says so
            sys.exit(1)
        raise _not_finite(error, training) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
            # PyTorch's handler would raise for this loader again at each child process that ends, during clean-up
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raise UserError(
            "a loader process was killed, most often because memory was short: a smaller num_workers needs less, and "
            "resume=auto goes on from the last checkpoint."
        ) from error


def _not_finite(error: LossNotFinite, training: Training) -> UserError:
    """The error for a loss that is not finite; the ids of its images are written to not_finite.json."""
    path = training.run.folder / "not_finite.json"
    if training.plan.first:
        write_json(path, {"step": error.step, "ids": error.ids})
    shown = ", ".join(error.ids[:3]) + (f" and {len(error.ids) - 3} more" if len(error.ids) > 3 else "")
    return UserError(
        f"the loss of step {error.step} is not finite (images {shown}; all of them: {path}). Nothing was done with it. "
        "A lower optimizer.lr or trainer.gradient_clip_val=10 may help; on_nan=skip leaves such steps out."
    )
