"""A real SLURM on this host for the tests of this folder: three emulated nodes, two fake GPUs on each of two."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from slurm import kill, processes

REPOSITORY = Path(__file__).resolve().parents[2]
CLUSTER = Path(__file__).parent / "cluster"
PROGRAMS = ["slurmctld", "slurmd", "munged", "sbatch", "squeue"]
PACKAGES = ["slurm-wlm", "munge"]
if os.environ.get("ACCOUNTING") == "1":  # the same cluster with sacct and its database
    PROGRAMS += ["slurmdbd", "mariadbd"]
    PACKAGES += ["slurmdbd", "mariadb-server"]

# `snakemake` with one change: its plugin asks for the jobs' states ever more rarely, up to every three minutes.
SNAKEMAKE = """
import asyncio, runpy
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.sleep = lambda self: asyncio.sleep(2)
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
"""


def installed():
    return all(shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") for program in PROGRAMS)


def install():
    """Install what is missing from the distribution (Debian, Ubuntu)."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = [["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES]]
    for command in commands:
        subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Start the cluster; yields the folder of its state. Skips where it cannot run."""
    wanted = os.environ.get("INSTALL_SLURM") == "1"
    if not wanted and not installed():
        pytest.skip("SLURM and munge are not installed: `make test-slurm` installs them, where there is apt-get")
    if not wanted:
        pytest.skip("a cluster of some minutes: `make test-slurm` starts it")
    if os.geteuid() != 0:
        pytest.skip("an emulated SLURM cluster needs root")
    if not installed() and shutil.which("apt-get"):
        install()
    if not installed():
        pytest.skip("SLURM and munge are not installed, and cannot be installed with apt-get")
    state = Path("/var/tmp/transfusion-test-slurm")
    shutil.rmtree(state, ignore_errors=True)
    try:
        started = subprocess.run([CLUSTER / "start.sh", state], capture_output=True, text=True, check=False)
        if started.returncode == 3:
            pytest.skip(started.stderr.strip())
        assert started.returncode == 0, started.stdout + started.stderr
        yield state
    finally:
        cut_short = subprocess.run(["squeue", "-h"], capture_output=True, check=False).stdout  # by a failure or Ctrl-C
        left = stop(state)
    assert cut_short or left == []
    assert processes(state) == []


def stop(state):
    """Stop this cluster, no other; returns the command lines of what did not end by itself and was killed."""
    settings = Path("/etc/slurm/slurm.conf")
    if not settings.exists() or "made by tests/slurm/cluster" not in settings.read_text():
        return []
    # In a session of its own: a second Ctrl-C does not reach it.
    subprocess.run([CLUSTER / "stop.sh", state], check=False, start_new_session=True)
    left = processes(state)
    end = time.monotonic() + 60
    while left and time.monotonic() < end:  # a training that was told to end saves its state first
        time.sleep(0.5)
        left = processes(state)
    kill(left)
    return [process.info["cmdline"] for process in left]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Make and pack the demo's data once, without the cluster."""
    folder = tmp_path_factory.mktemp("prepared")
    with contextlib.closing(Benchmark(folder)) as benchmark:
        result = benchmark.snakemake("--cores", "2", "data", profiles=[])
        assert result.wait(timeout=1800) == 0, result.log.read_text()
    return folder


@pytest.fixture
def benchmark(tmp_path, prepared):
    """A benchmark folder whose data are packed already, in a folder that every node sees."""
    shutil.copytree(prepared, tmp_path / "run", symlinks=True)
    with contextlib.closing(Benchmark(tmp_path / "run")) as benchmark:
        yield benchmark


class Snakemake(subprocess.Popen):
    """A running Snakemake with its output in a file."""

    log: Path


class Benchmark:
    """A working directory of the benchmark with micro settings, and what the tests ask of it."""

    profiles = ("slurm", "tests/slurm/site.yaml")
    overlays = ("profiles/demo/params.yaml", "tests/slurm/micro.yaml")

    def __init__(self, folder, **settings):
        self.folder = folder
        self.settings = folder.parent / f"{folder.name}.yaml"
        self.started = []
        self.configure(**settings)

    def configure(self, **settings):
        """Write the overlay with the test's own settings."""
        self.settings.write_text(yaml.safe_dump(settings))

    def snakemake(self, *arguments, profiles=profiles):
        """Start Snakemake from the repository root, as a user would."""
        named = [word for profile in profiles for word in ("--profile", profile)]
        command = [sys.executable, "-c", SNAKEMAKE, *named, "--directory", self.folder]
        log = self.folder.parent / f"snakemake-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            process = Snakemake(
                [*map(str, command), *arguments, "--configfile", *self.overlays, str(self.settings)],
                cwd=REPOSITORY,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
                # What a shell starts in the background ignores SIGINT, and hands that on to all that it starts.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        process.log = log
        self.started.append(process)
        return process

    def tfcore(self, *words):
        """Run a command of the program with the benchmark's settings and return what it prints."""
        command = [sys.executable, "-m", "tfcore", *words, "--params", self.params()]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def params(self):
        """Return the settings file that the jobs read."""
        return max((self.folder / "work" / "settings").glob("*.json"), key=lambda file: file.stat().st_mtime)

    def close(self):
        """Kill each Snakemake that still runs, with what it started on this host."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
