"""A benchmark of two categories in a repository of its own, run once; each test gets a copy to change."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
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
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=3000)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
        return done

    def make(self, *arguments, check=True):
        """Run Snakemake with two cores."""
        return self.run("snakemake", "--cores", "2", *arguments, check=check)

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


def merged(base, overlay):
    """Merge nested mappings; the overlay wins."""
    both = dict(base)
    for key, value in overlay.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if nested else value
    return both


def micro_settings():
    """Return the settings of the smallest benchmark that has everything."""
    values = {}
    for name in ("params.yaml", "profiles/demo/params.yaml", "tests/workflow/micro.yaml"):
        values = merged(values, yaml.safe_load((ROOT / name).read_text(encoding="utf-8")))
    return values


def pytest_collection_modifyitems(items):
    """Give the first test, which waits for the whole benchmark, time enough on a busy machine."""
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """Return a repository with the files of this one and the micro settings, nothing made yet."""
    repository = Repository(tmp_path_factory.mktemp("benchmark") / "checkout")
    wanted = (
        "Snakefile",
        "dvc.yaml",
        ".dvc",
        ".dvcignore",
        ".gitignore",
        "workflow",
        "profiles",
        "tfcore",
        "pyproject.toml",
    )
    for name in wanted:
        source, target = ROOT / name, repository.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
            shutil.copytree(source, target, symlinks=True, ignore=ignored)
        else:
            shutil.copyfile(source, target)
    (repository.folder / "params.yaml").write_text(yaml.safe_dump(micro_settings(), sort_keys=False), encoding="utf-8")
    repository.git("init", "-q", "-b", "main")
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "Program and settings")
    return repository


@pytest.fixture(scope="session")
def finished(checkout, tmp_path_factory):
    """Return the repository after `snakemake all_tables`; tests must not change it."""
    repository = checkout.copy(tmp_path_factory.mktemp("finished") / "checkout")
    repository.make("all_tables")
    return repository


@pytest.fixture
def repository(finished, tmp_path):
    """Return a copy of the finished repository, to change."""
    return finished.copy(tmp_path / "checkout")
