"""The floors of the house: imports go down only, as pyproject.toml says and docs/architecture.md shows."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def lint(folder):
    """Check the imports of the checkout in ``folder``."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    return subprocess.run([*command, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "tfcore", tmp_path / "tfcore", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("runs/stages", "from tfcore.methods.registry import METHODS"),
        ("settings/sections", "def hidden():\n    from tfcore.runs.run import Run"),
        ("methods/transfusion/losses", "from tfcore.methods.registry import METHODS"),
        ("metrics/rows", "import tfcore.report.table"),
    ],
)
def test_an_import_that_goes_up_is_found_also_within_a_function(copy, module, line):
    file = copy / f"tfcore/{module}.py"
    file.write_text(f"{file.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")
    done = lint(copy)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout and f"tfcore.{module.replace('/', '.')}" in done.stdout


def test_the_checkout_keeps_its_contracts():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_every_room_stands_in_the_picture_of_the_documentation():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    rooms = {room for layer in CONTRACTS[0]["layers"] for room in layer.split(" | ")} - {"__main__"}
    assert rooms <= set(re.findall(r"\w+", picture))


def test_nothing_but_rooms_and_predict_stands_at_the_top():
    modules = {path.stem for path in (ROOT / "tfcore").glob("*.py")}
    assert modules == {"__init__", "__main__", "predict"}
