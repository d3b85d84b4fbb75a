"""How many files at once: as many as the scheduler grants, of the cores that there are."""

import pytest

from tfcore.runtime import parallel
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
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert granted_cores() == expected


def test_results_come_in_order_and_the_first_error_is_raised():
    assert run_all(lambda item: 2 * item, [3, 1, 2], "double") == [6, 2, 4]
    with pytest.raises(ZeroDivisionError):
        run_all(lambda item: 1 // item, [1, 0, 2], "divide")
