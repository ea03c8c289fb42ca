"""Jobs of SLURM: the tasks of a node, and the requeue of a job whose time ends."""

from __future__ import annotations

import logging
import os
import re
import subprocess

from deeplab_lit.utils.errors import UserError

log = logging.getLogger("deeplab_lit")


def tasks_per_node() -> int:
    """The processes that SLURM started on each node; 1 outside a job.

    Raises:
        UserError: nodes have different numbers of tasks, with which Lightning does not train.
    """
    told = os.environ.get("SLURM_NTASKS_PER_NODE")
    if told:
        return int(told)
    # such as "4", or "2(x3)" for three nodes, or "3,1"
    spread = os.environ.get("SLURM_STEP_TASKS_PER_NODE") or os.environ.get("SLURM_TASKS_PER_NODE") or "1"
    counts = {re.sub(r"\(x\d+\)", "", each) for each in spread.split(",")}
    if len(counts) > 1:
        raise UserError(
            f"SLURM started {spread} tasks on its nodes: each node takes the same number, so type srun with "
            "--ntasks-per-node=NUMBER, the GPUs of a node."
        )
    return int(counts.pop())


def requeue() -> None:
    """Ask SLURM to put this process's job into its queue again, where there is one; a failure is logged."""
    job = os.environ.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if job is None:
        return
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "stderr", None) or error
        log.warning("SLURM did not requeue job %s (%s): submit it again, and resume=auto goes on", job, why)
    else:
        log.info("SLURM requeues job %s", job)
