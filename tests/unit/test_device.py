import os
from contextlib import nullcontext

import pytest
import torch

import tfcore.device as device_module
from tfcore.config import HardwareSettings, ModelSettings
from tfcore.device import (
    autocast,
    can_compile,
    claim_gpu,
    forward_operations,
    has_bfloat16,
    prepare,
    reproducible,
    take,
    upload,
)
from tfcore.errors import UserError

CPU = torch.device("cpu")


def claim(monkeypatch, gpus, jobs_per_gpu, visible=None):
    """Claim as a new job does; a lock belongs to its open file, so one process can stand for several."""
    monkeypatch.setattr(device_module, "_count_gpus", lambda: gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # remembers what was there
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    claim_gpu(jobs_per_gpu)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture(autouse=True)
def own_slots(tmp_path, monkeypatch):
    monkeypatch.setattr(device_module.tempfile, "gettempdir", lambda: str(tmp_path))
    yield
    while device_module._claims:
        os.close(device_module._claims.pop())


def test_each_job_gets_its_own_gpu_and_shares_only_when_told(monkeypatch):
    assert [claim(monkeypatch, 2, 2) for _ in range(4)] == ["0", "1", "0", "1"]
    os.close(device_module._claims.pop(1))  # as when a job ends or is killed
    assert claim(monkeypatch, 2, 2) == "1"
    assert claim(monkeypatch, 2, 2) in ("0", "1")  # more jobs than slots: it joins one


def test_what_the_scheduler_gives_is_respected(monkeypatch, tmp_path):
    assert claim(monkeypatch, 8, 1, visible="3") == "3" and not list(tmp_path.iterdir())
    assert [claim(monkeypatch, 8, 1, visible="5, GPU-7") for _ in range(2)] == ["5", "GPU-7"]


def test_no_gpu_is_no_claim(monkeypatch):
    assert claim(monkeypatch, 0, 1) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_one_line():
    assert prepare(HardwareSettings()).type == "cpu"
    with pytest.raises(UserError, match=r"hardware\.device: cuda was asked for"):
        prepare(HardwareSettings(device="cuda"))


@pytest.mark.parametrize(
    ("variables", "setting", "expected"),
    [
        ({"OMP_NUM_THREADS": "2"}, 0, 2),
        ({"OMP_NUM_THREADS": "2,1"}, 0, 2),
        ({"OMP_NUM_THREADS": "many", "SLURM_CPUS_PER_TASK": "2"}, 0, 2),
        ({}, 3, 3),
    ],
)
def test_threads_are_as_granted_or_as_set(monkeypatch, variables, setting, expected):
    before = torch.get_num_threads()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    prepare(HardwareSettings(device="cpu", threads=setting))
    assert torch.get_num_threads() == expected
    torch.set_num_threads(before)


def test_automatic_precision_needs_units_for_it(monkeypatch):
    for units in (True, False):
        monkeypatch.setattr(device_module, "has_bfloat16", lambda _, units=units: units)
        assert isinstance(autocast("auto", CPU), nullcontext) is not units
    assert isinstance(autocast("float32", CPU), nullcontext)
    assert not isinstance(autocast("bfloat16", CPU), nullcontext)
    assert isinstance(has_bfloat16(CPU), bool)


@pytest.mark.parametrize(
    ("asked", "kind", "restricted"), [(True, "cuda", True), (False, "cuda", False), (True, "cpu", False)]
)
def test_deterministic_kernels_are_asked_for_on_a_gpu_and_only_meanwhile(monkeypatch, asked, kind, restricted):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # remembers what was there
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with reproducible(HardwareSettings(deterministic=asked), torch.device(kind)):
        assert torch.are_deterministic_algorithms_enabled() is restricted
        assert torch.backends.cuda.flash_sdp_enabled() is not restricted
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is restricted
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cuda.flash_sdp_enabled()


def test_nothing_is_compiled_on_a_cpu():
    assert not can_compile(CPU)


def test_operations_of_the_papers_network():
    model = ModelSettings(positional_encoding="row")
    assert forward_operations(model, 256) == pytest.approx(367e9, rel=0.03)  # 367 GFLOP in the authors' network
    assert forward_operations(model, 128) < forward_operations(model, 256) / 3.9


def test_rows_are_taken_where_they_lie():
    array = torch.arange(12, dtype=torch.uint8).view(4, 3)
    assert upload(array, CPU) is array
    assert take(array, torch.tensor([2, 0]), CPU).tolist() == [[6, 7, 8], [0, 1, 2]]
