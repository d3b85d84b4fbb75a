"""Commands in README and docs exist, with these options; marked ones are run; examples of settings are valid.

Those that tests/workflow can run on a small benchmark are run there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from pages import PAGES, ROOT, blocks, page_commands

from tfcore.methods.registry import load_settings
from tfcore.runs.needed import TABLES

OTHERS = {"cd", "git", "pip", "source", "sudo", "apt-get", "export", "python3", "sbatch", "squeue", "tar", "ls", "head"}
OTHERS |= {"sinfo", "scancel", "rsync", "ssh", "cat", "mkdocs", "pytest", "nvidia-smi", "watch", "tail", "echo", "cp"}

COMMANDS = [
    pytest.param(words, whole, id=f"{page.name}: {' '.join(words)[:70]}")
    for page in PAGES
    for words, whole in page_commands(page)
]


@pytest.fixture(scope="session")
def rules() -> set[str]:
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    named = {name for file in files for name in re.findall(r"^\s*rule (\w+):", file.read_text(), re.M)}
    return named | {f"table{number}" for number in TABLES}  # made in a loop


@pytest.fixture(scope="session")
def make_targets() -> set[str]:
    file = ROOT / "Makefile"
    return set(re.findall(r"^([\w.-]+):", file.read_text(), re.M)) if file.exists() else set()


@pytest.mark.parametrize(("words", "whole"), COMMANDS)
def test_command_exists_with_its_options(words, whole, rules, make_targets):
    words = words[1:] if words[0] == "time" else words
    name = Path(words[0]).name
    if words[0].startswith("-"):
        pytest.fail(f"a continued line is not part of a command: {words}")
    if name in ("python", "python3") and words[1:3] == ["-m", "tfcore"]:
        check_tfcore(words[3:], whole)
    elif name == "snakemake":
        check_snakemake(words[1:], rules)
    elif name == "make":
        for target in (word for word in words[1:] if "=" not in word and not word.startswith("-")):
            assert target in make_targets, f"make {target}: no such target"
    elif name == "dvc":
        check_dvc(words[1:])
    else:
        assert name in OTHERS | {"python"}, f"{name}: not known here; is the command right?"


def check_tfcore(words: list[str], whole: bool) -> None:
    import tfcore.cli

    for module in (ROOT / "tfcore" / "cli").glob("*.py"):
        __import__(f"tfcore.cli.{module.stem}".removesuffix(".__init__"))
    group = typer.main.get_command(tfcore.cli.app)
    if words[0] in ("--help", "-h"):
        return
    assert words[0] in group.commands, f"tfcore {words[0]}: no such command"
    if "--help" not in words:
        try:
            group.commands[words[0]].make_context(words[0], list(words[1:]))
        except Exception as error:
            if whole or type(error).__name__ != "MissingParameter":
                raise


def check_snakemake(words: list[str], rules: set[str]) -> None:
    """Parse with Snakemake's own parser and find the rules; tests/workflow runs the targets for real."""
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser()
    options = [action.option_strings for action in parser._actions]
    known = {option for strings in options for option in strings}
    plugin = [word for word in words if word.startswith("--slurm-")]
    for word in words:
        if word.startswith("--") and word != "--" and word not in plugin:
            assert word.split("=")[0] in known, f"snakemake {word}: no such option"
    parsed, _ = parser.parse_known_args([word for word in words if word not in plugin])
    for target in [*parsed.targets, *(parsed.forcerun or [])]:
        assert target in rules or "/" in target or "." in target, f"snakemake {target}: no such rule"


def check_dvc(words: list[str]) -> None:
    """Parse with dvc's own parser; tests/workflow/test_versions.py runs repro, push, pull and more for real."""
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(words)


RUN = [
    pytest.param(text, id=f"{page.name} {number}")
    for page in PAGES
    for number, (marker, text) in enumerate(blocks(page, "bash"))
    if marker == "run"
]


@pytest.mark.parametrize("text", RUN)
def test_marked_block_runs(text, tmp_path: Path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = ["bash", "-euo", "pipefail", "-c", text]
    result = subprocess.run(
        script, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


SETTINGS = [
    pytest.param(base, text, id=f"{page.name} {number}")
    for page in PAGES
    for number, (base, text) in enumerate(blocks(page, "yaml"))
    if set(yaml.safe_load(text) or {}) & {"run", "datasets", "variants", "train", "sweeps", "score", "hardware"}
]


@pytest.mark.parametrize(("base", "text"), SETTINGS)
def test_settings_in_the_docs_are_valid(base, text, tmp_path: Path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(text, encoding="utf-8")
    bases = ["params.yaml", base.removeprefix("over ")] if base else ["params.yaml"]
    load_settings(*(ROOT / name for name in bases), overlay)


def test_every_page_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f": {page.name}" not in contents]
    assert not missing, f"mkdocs.yml: not in nav: {missing}"


def test_messages_of_the_troubleshooting_page_are_in_the_program():
    sources = [file for folder in ("tfcore", "workflow") for file in (ROOT / folder).rglob("*") if file.is_file()]
    text = " ".join(
        re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8"))
        for file in sources
        if file.suffix in (".py", ".smk")
    )
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.+)`$", page, re.M)
    assert len(messages) > 10
    for message in messages:
        for part in message.split(" … "):
            assert part in text, f"no message of the program says: {part}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name}: {target} does not exist"


def test_documentation_builds_strictly(tmp_path: Path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WARNING" not in result.stderr
