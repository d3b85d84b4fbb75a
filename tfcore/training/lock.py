"""One process at a time per training, on any shared file system: a claim file that its owner touches while it lives.

A scheduler can start a job again while its first process still runs: after a lost node, or after Snakemake was killed
and started anew. Outputs are whole with two writers; the claim saves the GPU-hours of computing them twice.
"""

import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from tfcore.runtime.errors import InterruptedTraining
from tfcore.runtime.files import write_json

TOUCH_SECONDS = 20.0
STALE_SECONDS = 180.0  # above the time that a network file system may show an old modification time
OLD_SECONDS = 3600.0  # so old that clocks of different nodes cannot explain it


class Claim:
    """A claim file and whose it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token = uuid4().hex

    def owner(self) -> dict[str, Any] | None:
        """Return who holds the claim (token, host, pid, job), or None when it is free or cannot be read."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def take(self) -> bool:
        """Write the claim under this process's name if there is none, and return whether it is this process's."""
        job = os.environ.get("SLURM_JOB_ID")
        own = self.path.with_name(f".{self.path.name}.{self.token}")
        write_json(own, {"token": self.token, "host": platform.node(), "pid": os.getpid(), "job": job})
        try:
            os.link(own, self.path)  # of two at one time, one succeeds, on network file systems as well
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with suppress(FileExistsError), self.path.open("x", encoding="utf-8") as file:
                file.write(own.read_text(encoding="utf-8"))
        finally:
            own.unlink(missing_ok=True)
        return self.mine()

    def free(self, owner: dict[str, Any] | None) -> None:
        """Remove the claim of an owner that is gone, unless another process has taken it meanwhile."""
        aside = Claim(self.path.with_name(f".{self.path.name}.{self.token}.old"))
        try:
            self.path.rename(aside.path)
        except FileNotFoundError:
            return
        if aside.owner() != owner:
            with suppress(OSError):
                os.link(aside.path, self.path)
        aside.path.unlink(missing_ok=True)

    def mine(self) -> bool:
        """Return whether this process holds the claim."""
        owner = self.owner()
        return owner is not None and owner.get("token") == self.token

    def touched(self) -> float:
        """Return when the owner last touched the claim, 0 when it is gone."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return 0.0

    def release(self) -> None:
        """Remove the claim if it is still this process's."""
        if self.mine():
            self.path.unlink(missing_ok=True)


def is_alive(path: Path) -> bool:
    """Return whether the owner of a claim lives: its process on this host, else by how lately it touched the file."""
    claim = Claim(path)
    owner = claim.owner()
    if owner is None:
        return False
    if owner.get("host") == platform.node():
        return _process_exists(int(owner.get("pid", 0)))
    return time.time() - claim.touched() < STALE_SECONDS


@contextmanager
def claimed(path: Path, stop: object = None) -> Iterator[bool]:
    """Hold the claim ``path`` during the block; wait while another living process holds it.

    Yields whether it had to wait. Raises `InterruptedTraining` when ``stop`` becomes true before the claim is held:
    what lies there is the other process's, and must not be touched.
    """
    claim = Claim(path)
    waited = False
    while not stop and not _try(claim):
        waited = True
        _wait_for_change(claim, stop)
    if not claim.mine():
        raise InterruptedTraining(f"stopped while another process trains this run ({path}); nothing was changed")
    done = threading.Event()
    toucher = threading.Thread(target=_keep_touching, args=(claim, done), daemon=True)
    toucher.start()
    try:
        yield waited
    finally:
        done.set()
        toucher.join()
        claim.release()


def _try(claim: Claim) -> bool:
    owner = claim.owner()
    if claim.path.exists() and _abandoned(claim, owner):
        claim.free(owner)
    return claim.take()


def _abandoned(claim: Claim, owner: dict[str, Any] | None) -> bool:
    """Return whether the owner is surely gone without watching the claim for a while."""
    if owner is not None and owner.get("host") == platform.node():
        return not _process_exists(int(owner.get("pid", 0)))
    return time.time() - claim.touched() > OLD_SECONDS


def _wait_for_change(claim: Claim, stop: object) -> None:
    """Watch a living claim; free it when its time does not change for `STALE_SECONDS` of this host's clock."""
    owner = claim.owner()
    who = owner or {}
    print(f"another process trains this run ({who.get('host')}, job {who.get('job')}): waiting for it", flush=True)
    seen, since = claim.touched(), time.monotonic()
    while not stop and claim.path.exists() and not claim.mine() and not _abandoned(claim, claim.owner()):
        time.sleep(1)
        if claim.touched() != seen:
            seen, since, owner = claim.touched(), time.monotonic(), claim.owner()
        elif time.monotonic() - since > STALE_SECONDS:
            claim.free(owner)


def _keep_touching(claim: Claim, done: threading.Event) -> None:
    while not done.wait(TOUCH_SECONDS):
        owner = claim.owner()
        if owner is not None and owner.get("token") != claim.token:
            return  # taken over after a long silence of this process
        with suppress(OSError):  # a moment in which the file cannot be read or touched is no reason to end
            os.utime(claim.path)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
