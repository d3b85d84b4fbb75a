"""Where the work runs: which device, and in which precision."""

import os
import re
import resource
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tfcore.runtime.errors import UserError
from tfcore.runtime.files import writing
from tfcore.runtime.gpu_slots import take_gpu_slot
from tfcore.runtime.parallel import scheduler_cores

# Dense bf16 peaks in operations per second, from the makers' data sheets; the longest key with all its words wins.
PEAKS = {
    "A10": 125e12,
    "A30": 165e12,
    "A40": 150e12,
    "A100": 312e12,
    "A800": 312e12,
    "H100": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H800": 989e12,
    "H200": 989e12,
    "H200 NVL": 835e12,
    "GH200": 989e12,
    "L4": 121e12,
    "L40S": 362e12,
    "RTX 3090": 71e12,
    "RTX 4090": 165e12,
    "B200": 2250e12,
}

OTHERS = {"Ti", "SUPER", "D", "Laptop", "MIG"}  # words that make another device of a known name


def prepare(device: str, threads: int = 0, deterministic: bool = False) -> torch.device:
    """Choose the device, take a GPU slot and set the threads; every stage that computes calls this first.

    The arguments are settings of ``hardware``; no ``threads`` means as many as the scheduler grants. Raises `UserError`
    when ``device`` is ``cuda`` and there is none.
    """
    if granted := threads or scheduler_cores():
        torch.set_num_threads(granted)
    if device == "cpu":
        return torch.device("cpu")
    take_gpu_slot()  # before anything asks CUDA, which reads CUDA_VISIBLE_DEVICES once
    if not torch.cuda.is_available():
        if device == "auto":
            return torch.device("cpu")
        raise UserError("hardware.device: cuda was asked for, but torch finds no usable GPU (set it to auto or cpu)")
    torch.backends.cudnn.allow_tf32 = False  # else convolutions of float32 would have the 10 bits of TF32
    # Shapes are the same in every step: cuDNN tries its kernels once and keeps the fastest, unless bits matter.
    torch.backends.cudnn.benchmark = not deterministic
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def reproducible(deterministic: bool, device: torch.device) -> Iterator[None]:
    """Allow only kernels that give the same bits twice, when ``hardware.deterministic`` asks for it on a GPU.

    Memory-saving attention has no such backward pass, so attention takes explicit matrices. A kernel that torch
    knows to vary is named in a warning. The CPU's kernels are reproducible as they are, for one number of threads.
    """
    if device.type != "cuda" or not deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether the device computes bfloat16 in hardware; elsewhere it would be emulated, and slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the autocast context of a ``precision`` setting: ``auto``, ``float32`` or ``bfloat16``."""
    if precision == "bfloat16" or (precision == "auto" and has_bfloat16(device)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def precision_name(precision: str, device: torch.device) -> str:
    """Return the precision that `autocast` uses, as recorded in ``run.json``."""
    return "float32" if isinstance(autocast(precision, device), nullcontext) else "bfloat16"


def peak_operations(device: torch.device) -> float | None:
    """Return the device's dense bf16 peak in operations per second, or None where it is not known."""
    if device.type != "cuda":
        return None
    words = set(re.findall(r"\w+", torch.cuda.get_device_name(device)))
    known = [key for key in PEAKS if words.issuperset(key.split()) and not words & OTHERS]
    return PEAKS[max(known, key=len)] if known else None


def to_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to the device, channels last where that is faster: with bfloat16 units, and on CPUs with AVX-512.

    On a CPU with AVX2 the channels-last kernels were the slower ones (docs/performance.md).
    """
    wide = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    layout = torch.channels_last if wide or has_bfloat16(device) else torch.contiguous_format
    return module.to(device=device, memory_format=layout)  # type: ignore[call-overload, no-any-return]


def can_compile(device: torch.device) -> bool:
    """Tell whether ``torch.compile`` pays and works here: on a GPU, with Triton, a C compiler and Python's headers.

    On a CPU it gained nothing (docs/performance.md). Compute nodes often have no compiler; one line then says so.
    """
    if device.type != "cuda":
        return False
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")
    header = Path(sysconfig.get_path("include", "posix_prefix")) / "Python.h"  # where Triton looks for it
    needed = {"triton": find_spec("triton"), "a C compiler": compiler, str(header): header.exists()}
    missing = [name for name, found in needed.items() if not found]
    if missing:
        print(f"not compiled, and slower for it: {' and '.join(missing)} not found", file=sys.stderr, flush=True)
    return not missing


def peak_memory(device: torch.device) -> int:
    """Return the largest amount of memory in use so far in bytes: the GPU's allocations, or the process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def upload(array: Tensor, device: torch.device, share: float = 0.5) -> Tensor:
    """Put an array on the device for good if it takes at most ``share`` of the free memory; else leave it here.

    `take` then streams the chosen rows.
    """
    if device.type == "cuda" and array.nbytes <= share * torch.cuda.mem_get_info(device)[0]:
        return array.to(device)
    return array


def take(array: Tensor, indices: Tensor, device: torch.device) -> Tensor:
    """Return the rows of an array on the device; rows that live on the host are copied when they are asked for."""
    return send(array[indices.to(array.device, non_blocking=True)], device)


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device through pinned memory, so that nothing waits; one that is there already stays."""
    if values.device.type == device.type:
        return values
    return values.pin_memory().to(device, non_blocking=True)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the failures that no program can prevent (memory of the GPU, full disk, no permission) into one line."""
    try:
        with writing(what):
            yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{what}: the GPU is out of memory; let fewer jobs share it (--resources gpu=N), or lower "
            "hardware.infer_batch or train.batch_size"
        ) from error
