"""Shards: what is typed, and what torchrun and srun say of a process."""

import pytest

from deeplab_lit.utils.errors import UserError
from deeplab_lit.utils.shards import Shard, local_rank, own_shard, processes_here


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)


def told(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shards_together_are_the_list(count):
    items = list("abcdefg")
    parts = [Shard(index, count).of(items) for index in range(1, count + 1)]
    assert sorted(sum(parts, [])) == items and max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts[0] == items[::count]


def test_a_process_alone_has_the_whole():
    assert own_shard() == Shard(1, 1) and local_rank() is None and processes_here() == 1


@pytest.mark.parametrize("given", ["9/8", "0/8", "x", "2", "1/0", "-1/8", "1/8/2", "", "1.5/3"])
def test_a_shard_that_is_none(given):
    with pytest.raises(UserError, match=f"^shard={given}: it is I/N, .* such as shard=2/8.$"):
        own_shard(given)


def test_what_is_typed_comes_before_the_rank(monkeypatch):
    told(monkeypatch, RANK="1", WORLD_SIZE="2", LOCAL_RANK="1")
    assert own_shard("3/8") == Shard(3, 8) and own_shard() == Shard(2, 2) and local_rank() == 1


def test_torchrun_in_the_tasks_of_srun(monkeypatch):
    told(monkeypatch, SLURM_PROCID="1", SLURM_STEP_NUM_TASKS="2", SLURM_LOCALID="0")
    assert own_shard() == Shard(2, 2) and local_rank() == 0
    told(monkeypatch, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", LOCAL_WORLD_SIZE="4")
    assert own_shard() == Shard(6, 8) and local_rank() == 1 and processes_here() == 4


def test_the_script_of_a_job_is_one_process(monkeypatch):
    told(monkeypatch, SLURM_NTASKS="4", SLURM_PROCID="0", SLURM_LOCALID="0")
    assert own_shard() == Shard(1, 1) and local_rank() is None
