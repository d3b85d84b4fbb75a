"""Where a result comes from: the record ``run.json`` that every stage of a run leaves beside its output."""

import json
import platform
import subprocess
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tfcore.runs.run import Run
from tfcore.runtime.files import digest, write_json

SOURCE = Path(__file__).resolve().parents[2]
"""Folder of the checkout that runs."""


@lru_cache(maxsize=1)
def source_commit() -> dict[str, Any]:
    """Return the git commit of the program and whether its code was unchanged; ``None`` outside a checkout."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(SOURCE), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    # Only the code counts: settings are recorded in full, and results in the tree change all the time.
    changes = git("status", "--porcelain", "--", "tfcore", "workflow", "Snakefile")
    return {"commit": commit, "clean": None if changes is None else changes == ""}


def device_name(device: str) -> str:
    """Return a device's name that says something in a table: the GPU's model, or the processor's."""
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"CPU {model}"


def installed_version(package: str) -> str | None:
    """Return a package's version; None when it is not installed, as this one is not in a checkout used as it is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def run_names(run: Run, method: str) -> dict[str, Any]:
    """Return who a run is, as it stands in the headers of its files."""
    return {"method": method} | asdict(run)


def start_record(run: Run, stage: str, settings: dict[str, Any], device: str = "cpu", **inputs: Any) -> dict[str, Any]:
    """Begin the record of a stage.

    ``settings`` are those that the stage was given (`stage_settings`); ``inputs`` are digests of what it read, such as
    ``pack_sha256`` or ``checkpoint_sha256``. The record names no host, user or absolute path.
    """
    import torch

    packages = ("tfcore", "torch", "numpy", "scikit-image", "pytorch-msssim")
    return {
        "run_id": run.id,
        **asdict(run),
        "stage": stage,
        "settings": settings,
        "settings_digest": digest(settings),
        "version": settings.get("version"),
        "inputs": inputs,
        "git": source_commit(),
        "versions": {"python": platform.python_version(), "cuda": torch.version.cuda}
        | {package: installed_version(package) for package in packages},
        "device": device_name(device),
        "start": datetime.now(UTC).isoformat(timespec="seconds"),
        "_clock": time.monotonic(),
    }


def finish_record(record: dict[str, Any], path: Path | str, **outputs: Any) -> None:
    """Complete a record with its end, duration in seconds and ``outputs``, and write it to ``path``."""
    seconds = time.monotonic() - record["_clock"]
    finished = {key: value for key, value in record.items() if not key.startswith("_")}
    finished |= {"end": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(seconds, 3), "exit": 0}
    write_json(path, finished | outputs)


def read_record(path: Path | str) -> dict[str, Any] | None:
    """Return a record, None when it is missing or damaged."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
