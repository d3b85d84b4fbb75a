"""How many files at once: as many as the scheduler grants, of the cores that there are."""

import io
import os

import joblib
import pytest
from joblib.externals.loky.backend import context

from tfcore.runtime.parallel import granted_cores, run_all


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "4,1"}, 4),
        ({"OMP_NUM_THREADS": "", "SLURM_CPUS_PER_TASK": "3"}, 3),
        ({"OMP_NUM_THREADS": "2", "SLURM_CPUS_PER_TASK": "3"}, 2),
        ({"SLURM_CPUS_PER_TASK": "64"}, 8),
        ({"OMP_NUM_THREADS": "0"}, 8),
    ],
)
def test_cores_are_as_granted(variables, expected, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert granted_cores() == expected


@pytest.mark.parametrize(("limits", "expected"), [("150000 100000", 2), ("max 100000", 6)])
def test_cores_are_those_of_the_container(limits, expected, monkeypatch):
    """As a container of 1.5 of the machine's 8 cores sees them, with an affinity for 6 of them."""
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/sys/fs/cgroup/cpu.max")
    monkeypatch.setattr(context, "open", lambda _: io.StringIO(limits), raising=False)
    assert granted_cores() == expected


def test_results_come_in_order_and_the_first_error_is_raised():
    assert run_all(lambda item: 2 * item, [3, 1, 2], "double") == [6, 2, 4]
    with pytest.raises(ZeroDivisionError):
        run_all(lambda item: 1 // item, [1, 0, 2], "divide")
