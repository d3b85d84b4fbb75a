"""Every job of a machine takes a GPU of its own, as long as there are enough."""

import os
import stat
from unittest.mock import Mock

import pytest
import torch

from tfcore.runtime import gpu_slots
from tfcore.runtime.device import prepare
from tfcore.runtime.errors import UserError
from tfcore.runtime.gpu_slots import take_gpu_slot


def take(monkeypatch, gpus, visible=None):
    """Take a slot as a new job does; a lock belongs to its open file, so one process can stand for several."""
    monkeypatch.setattr(gpu_slots, "_count_gpus", lambda: gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # remembers what was there
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    take_gpu_slot()
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture(autouse=True)
def own_slots(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(gpu_slots.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpu_slots, "_taken", [])
    return tmp_path / f"tfcore-gpus-{os.getuid()}"


def test_each_job_gets_the_least_used_gpu(monkeypatch):
    assert [take(monkeypatch, 4) for _ in range(16)] == ["0", "1", "2", "3"] * 4
    gpu_slots._taken.pop(5).release()  # as when a job ends or is killed
    assert [take(monkeypatch, 4) for _ in range(2)] == ["1", "0"]


def test_what_the_scheduler_gives_is_respected(monkeypatch, tmp_path):
    assert take(monkeypatch, 8, visible="3") == "3" and not list(tmp_path.iterdir())
    assert [take(monkeypatch, 8, visible="5, GPU-7") for _ in range(2)] == ["5", "GPU-7"]


def test_no_gpu_is_no_slot(monkeypatch, tmp_path):
    assert take(monkeypatch, 0) is None and not list(tmp_path.iterdir())


def test_a_slot_is_taken_before_cuda_is_asked(monkeypatch):
    """The driver reads CUDA_VISIBLE_DEVICES when it is asked first, and never again."""
    seen = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    ask = Mock(side_effect=lambda: bool(seen.append(os.environ["CUDA_VISIBLE_DEVICES"])))
    monkeypatch.setattr(torch.cuda, "is_available", ask)
    prepare("auto")
    assert seen[0] == "4"


def test_gpus_are_counted_by_their_device_files_where_nvml_is_missing(monkeypatch):
    """Without NVML torch would ask the driver."""
    monkeypatch.setattr(gpu_slots.ctypes, "CDLL", Mock(side_effect=OSError))
    monkeypatch.setattr(torch.cuda, "device_count", Mock(side_effect=AssertionError))
    monkeypatch.setattr(gpu_slots.Path, "glob", lambda *_: iter(["/dev/nvidia0", "/dev/nvidia1"]))
    assert gpu_slots._count_gpus() == 2


def test_slots_lie_in_the_users_runtime_folder(monkeypatch, tmp_path, own_slots):
    runtime = tmp_path / "run"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert take(monkeypatch, 2) == "0" and own_slots.is_dir()  # the variable of another node
    runtime.mkdir()
    assert take(monkeypatch, 2) == "0"
    assert stat.S_IMODE((runtime / "tfcore-gpus").stat().st_mode) == 0o700


def test_a_runtime_folder_of_somebody_else_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    other = os.getuid() + 1
    monkeypatch.setattr(gpu_slots.os, "getuid", lambda: other)
    assert gpu_slots._folder() == tmp_path / f"tfcore-gpus-{other}"


@pytest.mark.parametrize("what", ["open to others", "a link", "a file", "somebody's"])
def test_a_folder_that_is_not_the_users_own_is_one_line(what, monkeypatch, tmp_path, own_slots):
    match what:
        case "open to others":
            own_slots.mkdir()
            own_slots.chmod(0o777)
        case "a link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            own_slots.symlink_to(tmp_path / "elsewhere")
        case "a file":
            own_slots.touch()
        case "somebody's":
            other = os.getuid() + 1
            monkeypatch.setattr(gpu_slots.os, "getuid", lambda: other)
    with pytest.raises(UserError, match=r"tfcore-gpus-\d+: no folder of your own .*set CUDA_VISIBLE_DEVICES") as caught:
        take(monkeypatch, 2)
    assert "\n" not in str(caught.value)
