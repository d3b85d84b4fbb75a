"""A training is claimed by one living process at a time."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from tfcore.runtime.errors import InterruptedTraining
from tfcore.training import lock as claim
from tfcore.training.lock import Claim, claimed, is_alive


def test_claim_exists_during_the_block_and_is_gone_after(tmp_path):
    path = tmp_path / "seed0.claim"
    with claimed(path) as waited:
        assert is_alive(path)
        assert not waited
    assert not path.exists()


def test_second_process_waits_for_the_first(tmp_path):
    path = tmp_path / "seed0.claim"
    order = []

    def second():
        with claimed(path) as waited:
            order.append(("second", waited))

    with claimed(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(1.5)
        order.append(("first", True))
    thread.join(timeout=10)
    assert order == [("first", True), ("second", True)]


def test_claim_of_a_dead_process_is_taken_at_once(tmp_path):
    path = tmp_path / "seed0.claim"
    code = "import os, pathlib; from tfcore.training.lock import Claim; "
    code += f"Claim(pathlib.Path({str(path)!r})).take(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert path.exists()
    assert not is_alive(path)
    with claimed(path) as waited:
        assert not waited


def test_claim_of_a_silent_node_is_taken_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "STALE_SECONDS", 1.0)
    path = tmp_path / "seed0.claim"
    path.write_text(json.dumps({"token": "x", "host": "another-node", "pid": 1, "job": "7"}))
    with claimed(path) as waited:
        assert waited
        assert json.loads(path.read_text())["token"] != "x"


def test_waiting_ends_when_asked_to_stop(tmp_path):
    path = tmp_path / "seed0.claim"
    path.write_text(json.dumps({"token": "x", "host": "another-node", "pid": 1, "job": "7"}))
    stop: list[int] = []
    threading.Timer(0.5, stop.append, [1]).start()
    with pytest.raises(InterruptedTraining, match="another process trains this run"), claimed(path, stop):
        pytest.fail("the block must not run: what lies there is the other process's")
    assert stop and json.loads(path.read_text())["token"] == "x"


def test_damaged_claim_is_freed_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "STALE_SECONDS", 1.0)
    path = tmp_path / "seed0.claim"
    path.write_text("{half")
    assert not is_alive(path)
    with claimed(path) as waited:
        assert waited
        assert is_alive(path)
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_take_a_claim_at_once_one_has_it(tmp_path):
    path = tmp_path / "seed0.claim"
    for _ in range(20):
        claims = [Claim(path) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(Claim.take, claims))
        assert sum(taken) == 1
        path.unlink()


def test_a_claim_taken_over_meanwhile_is_not_removed(tmp_path):
    path = tmp_path / "seed0.claim"
    gone = {"token": "x", "host": "another-node", "pid": 1, "job": "7"}
    faster = Claim(path)
    assert faster.take()
    Claim(path).free(gone)
    assert faster.mine()
    assert list(tmp_path.iterdir()) == [path]


def test_a_claim_is_exclusive_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", Mock(side_effect=PermissionError))
    first, second = Claim(tmp_path / "seed0.claim"), Claim(tmp_path / "seed0.claim")
    assert first.take()
    assert not second.take()
    assert first.mine()


def test_touching_goes_on_after_a_moment_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "TOUCH_SECONDS", 0.02)
    path = tmp_path / "seed0.claim"
    with claimed(path):
        content = path.read_text()
        path.unlink()
        time.sleep(0.2)
        path.write_text(content)
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 0
