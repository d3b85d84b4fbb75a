"""Where the Makefile takes torch from, on a machine with nothing but Python."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def index(tmp_path):
    """Serve an index of wheels; return its address."""
    (tmp_path / "served/torch").mkdir(parents=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def install_command(tmp_path, address):
    """Return what `make venv` would run, without curl and nvidia-smi on the path."""
    words = [shutil.which("make"), "--dry-run", f"PYTHON={sys.executable}", f"CPU_INDEX={address}", "VENV=venv", "venv"]
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    done = subprocess.run(words, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_machine_without_gpu_takes_torch_from_the_cpu_index(tmp_path, index):
    assert f"--extra-index-url {index} " in install_command(tmp_path, index)


def test_an_index_that_cannot_be_reached_is_left_out(tmp_path, index):
    assert "extra-index-url" not in install_command(tmp_path, f"{index}/not-there")
