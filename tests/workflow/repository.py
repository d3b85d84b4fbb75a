"""A checkout in which snakemake (forked, see forked.py), git and dvc are run as a user runs them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import yaml

PROGRAMS = Path(sys.executable).parent


class Repository:
    """A checkout with settings of its own, in which snakemake, git and dvc are run as a user runs them."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def run(self, *command, check=True):
        """Run a command in the checkout, with the checkout's own tfcore."""
        environment = os.environ | {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        for name in ("SNAKEMAKE_PROFILE", "GIT_DIR", "GIT_INDEX_FILE", "VIRTUAL_ENV"):
            environment.pop(name, None)
        if command[0] == "snakemake":
            done = forked.snakemake(command[1:], self.folder, environment)
        else:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=3000
            )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
        return done

    def make(self, *arguments, check=True):
        """Run Snakemake with two cores."""
        return self.run("snakemake", "--cores", "2", *arguments, check=check)

    def script(self, lines):
        """Run lines of the documentation in bash, ``make`` with the environment of these tests; return the output."""
        environment = PROGRAMS.parent
        make = f'make() {{ command make VENV={environment} --old-file={environment}/.installed "$@"; }}'
        done = self.run("bash", "-euo", "pipefail", "-c", f"{make}\n{lines}")
        return done.stdout + done.stderr

    def make_target(self, *words):
        """Run a target of the Makefile as it is installed; return its output."""
        return self.script(shlex.join(["make", *words]))

    def plan(self, *arguments):
        """Return the jobs that Snakemake would run, as ``rule wildcards``; targets without output left out."""
        done = self.run("snakemake", "--dry-run", *(arguments or ("all_tables",)))
        jobs = set()
        for block in re.split(r"\n(?=(?:local)?rule )", done.stdout + done.stderr):
            found = re.match(r"(?:local)?rule (\w+):", block)
            if found and re.search(r"^    output: ", block, re.MULTILINE):
                wildcards = re.search(r"^    wildcards: (.+)$", block, re.MULTILINE)
                values = re.findall(r"=([^,]+)", wildcards[1]) if wildcards else []
                jobs.add(" ".join([found[1], "/".join(values)]).strip())
        return jobs

    def edit(self, change):
        """Change params.yaml by a function of its mapping."""
        file = self.folder / "params.yaml"
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        change(values)
        file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def git(self, *arguments):
        """Run git as somebody."""
        return self.run("git", "-c", "user.name=Nobody", "-c", "user.email=nobody@example.org", *arguments)

    def copy(self, folder):
        """Copy everything, times included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Repository(folder)
