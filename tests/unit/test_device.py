import os
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
import torch

import tfcore.runtime.device as device_module
from tfcore.methods.transfusion.operations import forward_operations
from tfcore.methods.transfusion.settings import ModelSettings
from tfcore.runtime.device import (
    autocast,
    can_compile,
    has_bfloat16,
    peak_operations,
    prepare,
    reproducible,
    take,
    to_device,
    upload,
)
from tfcore.runtime.errors import UserError

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_one_line():
    assert prepare("auto").type == "cpu"
    with pytest.raises(UserError, match=r"hardware\.device: cuda was asked for"):
        prepare("cuda")


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
    prepare("cpu", setting)
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
    ("capability", "units", "layout"),
    [
        ("AVX2", False, torch.contiguous_format),
        ("AVX512", False, torch.channels_last),
        ("AVX2", True, torch.channels_last),
    ],
)
def test_channels_come_last_where_that_is_faster(monkeypatch, capability, units, layout):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(device_module, "has_bfloat16", lambda _: units)
    assert to_device(torch.nn.Conv2d(4, 4, 3), CPU).weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    ("asked", "kind", "restricted"), [(True, "cuda", True), (False, "cuda", False), (True, "cpu", False)]
)
def test_deterministic_kernels_are_asked_for_on_a_gpu_and_only_meanwhile(monkeypatch, asked, kind, restricted):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # remembers what was there
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with reproducible(asked, torch.device(kind)):
        assert torch.are_deterministic_algorithms_enabled() is restricted
        assert torch.backends.cuda.flash_sdp_enabled() is not restricted
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is restricted
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cuda.flash_sdp_enabled()


def test_nothing_is_compiled_on_a_cpu():
    assert not can_compile(CPU)


@pytest.fixture
def gpu(monkeypatch):
    """A machine that seems to have one GPU; nothing is computed on it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    for flag in ("benchmark", "allow_tf32"):
        monkeypatch.setattr(torch.backends.cudnn, flag, getattr(torch.backends.cudnn, flag))  # put back at the end
    return torch.device("cuda", 0)


def test_float32_on_a_gpu_is_float32(gpu):
    torch.backends.cudnn.allow_tf32 = True
    assert prepare("auto") == gpu
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.benchmark
    prepare("auto", deterministic=True)
    assert not torch.backends.cudnn.benchmark  # its kernels are chosen by a race


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA L40", None),
        ("NVIDIA A10G", None),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
    ],
)
def test_a_gpu_that_only_sounds_like_another_has_no_known_peak(gpu, monkeypatch, name, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert peak_operations(gpu) == peak


@pytest.mark.parametrize("missing", [None, "triton", "a C compiler", "Python.h"])
def test_what_the_compiler_lacks_is_one_line(gpu, monkeypatch, tmp_path, capsys, missing):
    monkeypatch.setattr(device_module, "find_spec", lambda _: missing != "triton" or None)
    monkeypatch.setattr(device_module.shutil, "which", lambda _: None if missing == "a C compiler" else "/usr/bin/cc")
    monkeypatch.setattr(device_module.sysconfig, "get_path", lambda *_: str(tmp_path))
    if missing != "Python.h":
        (tmp_path / "Python.h").touch()
    assert can_compile(gpu) is (missing is None)
    said = capsys.readouterr().err
    assert said.count("\n") == bool(missing) and (missing or "") in said


def test_operations_of_the_papers_network():
    model = ModelSettings(positional_encoding="row")
    assert forward_operations(model, 256) == pytest.approx(367e9, rel=0.03)  # 367 GFLOP in the authors' network
    assert forward_operations(model, 128) < forward_operations(model, 256) / 3.9


def test_rows_are_taken_where_they_lie():
    array = torch.arange(12, dtype=torch.uint8).view(4, 3)
    assert upload(array, CPU) is array
    assert take(array, torch.tensor([2, 0]), CPU).tolist() == [[6, 7, 8], [0, 1, 2]]


def test_an_array_goes_to_the_gpu_when_half_of_its_free_memory_holds_it(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    large, small = Mock(nbytes=501), Mock(nbytes=500)
    assert upload(large, gpu) is large and not large.to.called
    assert upload(small, gpu) is small.to.return_value
    small.to.assert_called_once_with(gpu)


def test_rows_of_the_host_are_pinned_and_rows_of_the_device_are_not(monkeypatch):
    """The device is torch's `meta`, which has shapes and no content."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda rows: (pinned.append(rows.tolist()), rows)[1])
    elsewhere, array = torch.device("meta"), torch.arange(12).view(4, 3)
    rows = take(array, torch.tensor([2, 0]), elsewhere)
    assert rows.device == elsewhere and rows.shape == (2, 3)
    assert pinned == [[[6, 7, 8], [0, 1, 2]]]
    assert take(array.to(elsewhere), torch.tensor([2, 0]), elsewhere).device == elsewhere
    assert len(pinned) == 1
