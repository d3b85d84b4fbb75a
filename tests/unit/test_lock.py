"""A training is locked by one living process at a time."""

import errno
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import filelock
import pytest
from filelock import SoftFileLease

from tfcore.runtime.errors import InterruptedTraining
from tfcore.training import lock
from tfcore.training.lock import holder, locked


@pytest.fixture
def path(tmp_path):
    return tmp_path / "seed0.lock"


@pytest.fixture
def short(monkeypatch):
    """Leases of a second, so that the tests need not wait for minutes."""
    monkeypatch.setattr(lock, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.1)


def write_lock(path, host="another-node", pid=1):
    """Write the lock of a process that is elsewhere, and never renews it."""
    path.write_text(
        f"filelock/2\npid={pid}\nhost={host}\nmode=lease\ntoken=x\nduration={lock.LEASE_SECONDS}\n", encoding="utf-8"
    )


def die_with(path):
    """Let another process end without a chance to release the lock."""
    code = "import os, pathlib; from tfcore.training import lock; "
    code += f"lock.LEASE_SECONDS = {lock.LEASE_SECONDS}; held = lock.locked(pathlib.Path({str(path)!r})); "
    code += "held.__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "SLURM_JOB_ID": "17"})
    assert path.exists()


def test_lock_exists_during_the_block_and_is_gone_after(path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with locked(path) as waited:
        assert holder(path) == platform.node()
        assert not waited
    assert holder(path) is None
    assert list(path.parent.iterdir()) == []


def test_second_process_waits_for_the_first_and_says_for_whom(path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    order = []

    def second():
        with locked(path) as waited:
            order.append(("second", waited))

    with locked(path):
        assert holder(path) == f"{platform.node()}, job 17"
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(1.5)
        order.append(("first", True))
    thread.join(timeout=10)
    assert order == [("first", True), ("second", True)]
    said = f"another process trains this run ({platform.node()}, job 17): waiting for it\n"
    assert capsys.readouterr().out == said


def test_lock_of_a_dead_process_is_taken_at_once(path, monkeypatch):
    die_with(path)
    monkeypatch.setattr(lock.platform, "node", lambda: SoftFileLease(path).owner.hostname)  # in a container, too
    assert holder(path) is None
    with locked(path) as waited:
        assert not waited
    assert list(path.parent.iterdir()) == []


def test_lock_of_a_process_in_another_container_is_not_judged_by_its_number(path):
    """Containers may share a host's name; only a host's own processes can be looked for by their number."""
    write_lock(path, f"{platform.node()}?pidns-f0000123", pid=2**22 + 1)
    assert holder(path) == "unknown"
    with pytest.raises(filelock.Timeout):
        SoftFileLease(path, lease_duration=lock.LEASE_SECONDS).acquire(blocking=False)


def test_lock_of_a_silent_node_is_taken_after_a_while(path, short):
    write_lock(path)
    assert holder(path) == "unknown"
    with locked(path) as waited:
        assert waited
        assert SoftFileLease(path).owner.token != "x"


def test_silent_lock_is_nobodys(path):
    write_lock(path)
    os.utime(path, (time.time() - lock.LEASE_SECONDS - 1,) * 2)
    assert holder(path) is None


def test_living_owner_keeps_its_lock_by_renewing_it(path, short, monkeypatch):
    monkeypatch.setattr(lock, "LEASE_SECONDS", 2.0)  # a busy machine may stand still for a second
    got = threading.Event()

    def second():
        with locked(path):
            got.set()

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert not got.wait(3)
    thread.join(timeout=10)
    assert got.is_set()


def test_waiting_ends_when_asked_to_stop(path):
    write_lock(path)
    stop: list[int] = []
    threading.Timer(0.5, stop.append, [1]).start()
    with pytest.raises(InterruptedTraining, match="another process trains this run"), locked(path, stop):
        pytest.fail("the block must not run: what lies there is the other process's")
    assert stop and SoftFileLease(path).owner.token == "x"


@pytest.mark.parametrize("content", ["{half", ""], ids=["damaged", "empty"])
def test_lock_that_cannot_be_read_is_freed_after_a_while(content, path, short):
    path.write_text(content)
    assert holder(path) is None
    with locked(path) as waited:
        assert waited
        assert holder(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_abandoned_lock_is_freed_where_names_cannot_be_exchanged(where, path, short, monkeypatch):
    """As on NFS, where the library leaves such a lock for ever."""
    refuse = Mock(return_value=False)
    monkeypatch.setattr("filelock._soft.exchange_names", refuse)
    die_with(path) if where == "here" else write_lock(path)
    with locked(path) as waited:
        assert waited
        assert refuse.called
        assert SoftFileLease(path).owner.token != "x"


def test_lock_that_changes_is_left_where_names_cannot_be_exchanged(path, short, monkeypatch):
    monkeypatch.setattr("filelock._soft.exchange_names", Mock(return_value=False))
    monkeypatch.setattr(lock, "LEASE_SECONDS", 2.0)
    write_lock(path)
    done = threading.Event()

    def renew():
        while not done.wait(0.1):
            os.utime(path)

    stop: list[int] = []
    threads = [threading.Thread(target=renew), threading.Timer(3, stop.append, [1])]
    for thread in threads:
        thread.start()
    with pytest.raises(InterruptedTraining), locked(path, stop):
        pytest.fail("its owner lives")
    done.set()
    for thread in threads:
        thread.join()
    assert SoftFileLease(path).owner.token == "x"


def test_of_two_that_take_a_lock_at_once_one_has_it(path):
    for _ in range(20):
        leases = [SoftFileLease(path, thread_local=False) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lock._acquired, leases))
        assert sum(taken) == 1
        leases[taken.index(True)].release()
    assert not path.exists()


def test_a_lock_taken_over_meanwhile_is_not_removed(path):
    with locked(path):
        path.unlink()
        write_lock(path)
        lock._note(path).write_text("another-node")
    assert SoftFileLease(path).owner.token == "x"
    assert holder(path) == "another-node"


def test_a_lock_is_exclusive_without_hard_links(path, monkeypatch):
    monkeypatch.setattr("os.link", Mock(side_effect=PermissionError))
    first, second = SoftFileLease(path), SoftFileLease(path)
    assert lock._acquired(first)
    assert not lock._acquired(second)
    assert first.is_lock_held_by_us


def test_renewing_goes_on_after_a_moment_that_cannot_be_written(path, short, monkeypatch):
    utime = os.utime
    with locked(path):
        monkeypatch.setattr("os.utime", Mock(side_effect=OSError(errno.EIO, "a server restarts")))
        time.sleep(0.3)
        assert os.utime.called
        monkeypatch.setattr("os.utime", utime)
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 0
