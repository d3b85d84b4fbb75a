"""The state of an unfinished training: saved whole or not at all, checked before it is used, the last two kept."""

import hashlib
import io
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from tfcore.runtime.files import replacing

KEPT = 2
STALE_SECONDS = 3600.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def save_state(folder: Path, identity: dict[str, Any], state: dict[str, Any]) -> Path:
    """Write a state under its step and remove all but the last two.

    The file is the sha256 of the rest in hexadecimal, then ``torch.save`` of ``{"identity", "state"}``.
    """
    buffer = io.BytesIO()
    torch.save({"identity": identity, "state": state}, buffer)
    path = folder / f"state-{state['step']:09d}.pt"
    # The view is given back when writing fails, too: Python before 3.12.2 crashes if it outlives its buffer.
    with buffer.getbuffer() as payload, replacing(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(payload).hexdigest().encode())
        file.write(payload)
    for old in _states(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    _remove_leftovers(folder)
    return path


def load_state(folder: Path, identity: dict[str, Any], device: torch.device) -> dict[str, Any] | None:
    """Return the newest good state of this very training, or None; a state that is refused is named on stderr.

    Refused states that are newer than the good one are removed.
    """
    refused: list[Path] = []
    for path in _states(folder):
        try:
            state = _read_state(path, identity, device)
        except ValueError as error:
            print(f"{path}: not resumed: {error}", file=sys.stderr, flush=True)
            refused.append(path)
            continue
        for newer in refused:  # they would count among the last two, which are kept
            newer.unlink(missing_ok=True)
        return state
    return None


def clear_states(folder: Path) -> None:
    """Remove all states: the training is finished, or begins again."""
    for path in _states(folder):
        path.unlink(missing_ok=True)


def _read_state(path: Path, identity: dict[str, Any], device: torch.device) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    digest, payload = content[:64], content[64:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise ValueError("the file is truncated or damaged")
    saved = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    for key, value in identity.items():
        if saved["identity"].get(key) != value:
            raise ValueError(f"it belongs to another {key} ({saved['identity'].get(key)}, now {value})")
    state: dict[str, Any] = saved["state"]
    return state


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"), reverse=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a killed process; a young one may belong to another live writer."""
    for path in folder.glob(".state-*"):
        with suppress(FileNotFoundError):  # the other writer may be done with it
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()


class StopRequest:
    """Which signal has asked the training to stop, if any."""

    name: str | None = None

    def __bool__(self) -> bool:
        return self.name is not None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Note SIGTERM, SIGINT and SIGUSR1 instead of dying, so that the step in progress ends and the state is saved.

    Repeats are swallowed: schedulers and Snakemake send several. Outside the main thread signals are left alone.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        request.name = signal.Signals(number).name

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
