"""One process at a time per training, on any shared file system: a lock file that its owner renews while it lives.

A scheduler can start a job again while its first process still runs: after a lost node, or after Snakemake was killed
and started again. Outputs are whole with two writers; the lock saves the GPU-hours of computing them twice.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import SoftFileLease, Timeout

from tfcore.runtime.errors import InterruptedTraining

LEASE_SECONDS = 180.0  # above the time that a network file system may show an old modification time
RENEWALS = 9  # within a lease
POLL_SECONDS = 1.0


@contextmanager
def locked(path: Path, stop: object = None) -> Iterator[bool]:
    """Hold the lock ``path`` during the block; wait while another living process holds it.

    Yields whether it had to wait. Raises `InterruptedTraining` when ``stop`` becomes true before the lock is held:
    what lies there is the other process's, and must not be touched.
    """
    lease = SoftFileLease(path, lease_duration=LEASE_SECONDS, heartbeat_interval=LEASE_SECONDS / RENEWALS)
    waited = _wait_for(lease, path, stop)
    job = os.environ.get("SLURM_JOB_ID")
    try:
        _note(path).write_text(platform.node() + (f", job {job}" if job else ""), encoding="utf-8")
        yield waited
    finally:
        if lease.is_lock_held_by_us:  # else it was taken over after a long silence of this process
            _note(path).unlink(missing_ok=True)
        lease.release()


def holder(path: Path) -> str | None:
    """Return who trains under the lock now (host and SLURM job), None when nobody does as far as can be seen."""
    owner, seen = SoftFileLease(path).owner, _last_change(path)
    if owner is None or seen is None or time.time() - seen[1] / 1e9 > LEASE_SECONDS:
        return None
    # A container's host has its process namespace in its name here; processes in there are known by renewals alone.
    if owner.hostname == platform.node() and not psutil.pid_exists(owner.pid):
        return None
    return _name(path)


def _wait_for(lease: SoftFileLease, path: Path, stop: object) -> bool:
    """Acquire the lease and return whether that took waiting.

    A lock that does not change for the time of a lease is abandoned. The library takes over most of them, but none on
    file systems that cannot exchange two names in one step (NFS), and no empty file, which a lost node can leave.
    """
    waited, seen, since = False, _last_change(path), time.monotonic()
    while stop or not _acquired(lease):
        if stop:
            raise InterruptedTraining(f"stopped while another process trains this run ({path}); nothing was changed")
        if not waited:
            print(f"another process trains this run ({_name(path)}): waiting for it", flush=True)
        waited = True
        time.sleep(POLL_SECONDS)
        if (now := _last_change(path)) != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > LEASE_SECONDS + 2 * POLL_SECONDS:  # the library goes first
            lease.force_break()
    return waited


def _acquired(lease: SoftFileLease) -> bool:
    try:
        lease.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _last_change(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _note(path: Path) -> Path:
    """Return the file beside a lock that names its owner for people."""
    return path.with_name(f"{path.name}.owner")


def _name(path: Path) -> str:
    try:
        return _note(path).read_text(encoding="utf-8")
    except OSError:
        return "unknown"
