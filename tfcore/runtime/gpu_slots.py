"""Which GPU a job takes, where a user's jobs share the GPUs of one machine."""

import ctypes
import os
import stat
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from tfcore.runtime.errors import UserError

_taken: list[FileLock] = []  # kept as long as this process


def take_gpu_slot() -> None:
    """Pick the least used of the visible GPUs for this process and make it the only visible one.

    Snakemake counts GPUs but does not say which one a job gets. A job takes the first free slot: slot 0 of every GPU,
    then slot 1 of every GPU, and so on. Slots are locks that the system frees when the process ends, however it ends.
    One GPU from the scheduler is taken as it is. Raises `UserError` when the user has no folder for locks.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [name.strip() for name in named.split(",")] if named else [str(i) for i in range(_count_gpus())]
    if len(visible) < 2 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    folder = _folder()
    try:
        _check_own(folder)
        slots = ((gpu, slot) for slot in count() for gpu in visible)
        os.environ["CUDA_VISIBLE_DEVICES"] = next(gpu for gpu, slot in slots if _take(folder / f"{gpu}-{slot}"))
    except OSError as error:
        raise UserError(
            f"{folder}: no folder of your own for the locks by which jobs share GPUs ({error.strerror}); remove it, or "
            "set CUDA_VISIBLE_DEVICES to one GPU"
        ) from error


def _folder() -> Path:
    """Return the folder of the slots: in the user's runtime folder, else in the temporary folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    with suppress(OSError):  # a batch job may have the variable of another node, without the folder
        if runtime and Path(runtime).stat().st_uid == os.getuid():
            return Path(runtime) / "tfcore-gpus"
    return Path(tempfile.gettempdir()) / f"tfcore-gpus-{os.getuid()}"


def _check_own(folder: Path) -> None:
    """Make the folder if need be; raises `OSError` unless it is this user's alone: anybody can make one of its name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()  # of a link, not of what it leads to
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(0, "a link, or open to others")


def _take(path: Path) -> bool:
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return False
    _taken.append(lock)
    return True


def _count_gpus() -> int:
    """Count GPUs without initialising CUDA: by NVML, as torch does where that library is, else by device files."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return len(list(Path("/dev").glob("nvidia[0-9]*")))
    return torch.cuda.device_count()
