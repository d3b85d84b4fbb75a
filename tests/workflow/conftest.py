"""A benchmark of two categories in a repository of its own, run once; each test gets a copy to change."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from repository import Repository

ROOT = Path(__file__).resolve().parents[2]


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
def share(tmp_path_factory):
    """Return a function that has a repository made by the first worker that asks for it; the others wait."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def share(name, build):
        repository, built = Repository(base / name / "checkout"), base / f"{name}.built"
        with FileLock(base / f"{name}.lock"):
            if not built.exists():
                shutil.rmtree(repository.folder.parent, ignore_errors=True)  # another worker's that failed
                build(repository)
                built.touch()
        return repository

    return share


@pytest.fixture(scope="session")
def checkout(share):
    """Return a repository with the files of this one and the micro settings, nothing made yet."""
    return share("checkout", write_program)


def write_program(repository):
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
        "constraints.txt",
        "Makefile",
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


@pytest.fixture(scope="session")
def finished(checkout, share):
    """Return the repository after `snakemake all_tables`; tests must not change it."""
    return share("finished", lambda repository: checkout.copy(repository.folder).make("all_tables"))


@pytest.fixture
def repository(finished, tmp_path):
    """Return a copy of the finished repository, to change."""
    return finished.copy(tmp_path / "checkout")


@pytest.fixture(scope="session")
def published(finished, share):
    """Return a repository whose results are recorded by dvc and pushed to the folder beside it."""

    def publish(repository):
        finished.copy(repository.folder)
        recorded = repository.run("dvc", "repro").stdout
        assert recorded.count("Running stage") == 4
        repository.git("add", ".")
        repository.git("commit", "-q", "-m", "Results")
        repository.run("dvc", "push")

    return share("published", publish)


@pytest.fixture(scope="session")
def pulled(published, share):
    """Return a fresh clone with the results pulled, without any data; tests must not change it."""

    def clone(repository):
        published.run("git", "clone", "-q", published.folder, repository.folder)
        store = published.folder.parent / "transfusion-store"
        repository.run("dvc", "remote", "modify", "--local", "store", "url", store)
        assert "Nothing to be done" in repository.make_target("pull")

    return share("pulled", clone)
