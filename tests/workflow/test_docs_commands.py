"""Commands of README and docs/ as they stand there: snakemake's plan, and docs/dvc.md is run from top to bottom."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, page_commands
from repository import Repository

REALLY_RUN = {"--list-target-rules", "--unlock", "--report", "--summary"}  # these start no job


def snakemake_commands(page):
    """Return the snakemake commands of a page, those within an sbatch among them."""
    found = []
    for words, _ in page_commands(page):
        wrapped = shlex.split(words[words.index("--wrap") + 1]) if "--wrap" in words else words
        if Path(wrapped[0]).name == "snakemake":
            found.append(("snakemake", *wrapped[1:]))
    return found


def overlay_text(page, name):
    """Return what a page puts into an overlay: in a sentence, or as its first settings; else the quick start's."""
    sentence = re.search(rf"`([^`]+)`\s+in\s+`{re.escape(name)}`", page.read_text(encoding="utf-8"))
    texts = [sentence[1]] if sentence else [text for _, text in blocks(page, "yaml")]
    return texts[0] if texts else overlay_text(ROOT / "docs/quickstart.md", name)


def overlay_names(words):
    return [word for word in words if re.fullmatch(r"[\w-]+\.yaml", word) and word != "my-site.yaml"]


def cases():
    """Return words and overlays of each command; the same words with the same overlays once."""
    found = {}
    for page in PAGES:
        for words in snakemake_commands(page):
            overlays = tuple((name, overlay_text(page, name)) for name in overlay_names(words))
            found.setdefault((words, overlays), f"{page.name}: {' '.join(words[1:])}")
    return found


CASES = cases()


@pytest.fixture(scope="module")
def documented(finished, tmp_path_factory):
    """Return a finished repository with what the pages take for granted; what is run there changes no result."""
    repository = finished.copy(tmp_path_factory.mktemp("documented") / "checkout")
    for link in (path for path in ROOT.iterdir() if path.is_symlink()):  # `--profile slurm` is found by them
        shutil.copyfile(link, repository.folder / link.name, follow_symlinks=False)
    shutil.copyfile(ROOT / "profiles/slurm/site.yaml", repository.folder / "my-site.yaml")
    return repository


def test_there_are_commands():
    assert len(CASES) > 30


@pytest.mark.parametrize("case", CASES, ids=CASES.values())
def test_snakemake_command_plans(case, documented):
    words, overlays = case
    really = REALLY_RUN & set(words)
    for name, text in overlays:  # pages use the same names
        (documented.folder / name).write_text(text, encoding="utf-8")
    done = documented.run(words[0], *(() if really else ("--dry-run",)), *words[1:], check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    if not really:
        assert re.search(r"Nothing to be done|This was a dry-run", done.stdout + done.stderr)


DVC_PAGE = ROOT / "docs/dvc.md"


@pytest.fixture
def colleague(published, tmp_path):
    """Return a clone without results; in the repository that it came from, another one has a branch."""
    origin = tmp_path / "origin.git"
    published.run("git", "clone", "-q", "--bare", published.folder, origin)
    published.run("git", "-C", origin, "branch", "theirs")
    published.run("git", "clone", "-q", origin, tmp_path / "clone")
    repository = Repository(tmp_path / "clone")
    repository.git("config", "user.name", "Nobody")
    repository.git("config", "user.email", "nobody@example.org")
    repository.run("dvc", "remote", "modify", "--local", "store", "url", published.folder.parent / "transfusion-store")
    return repository


def rules(output):
    return set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE))


def test_dvc_page_from_top_to_bottom(colleague):
    take_over, redraw, record, experiment, back, remotes, merge = (text for _, text in blocks(DVC_PAGE, "bash"))
    metrics = colleague.folder / "results/metrics.json"

    assert colleague.script(take_over).count("Nothing to be done") == 2
    assert rules(colleague.script(redraw)) == {"plot_sweep", "ablations"}
    assert "pushed" in colleague.script(record.replace("--profile slurm", "--cores 2"))
    assert "up to date" in colleague.run("dvc", "status").stdout
    recorded = metrics.read_bytes()

    run, show, diff, plots = (colleague.script(line) for line in experiment.splitlines())
    check_scored_alone(run)
    assert metrics.read_bytes() != recorded
    name = re.search(r"Ran experiment\(s\): ([\w-]+)", run)[1]
    assert re.search(rf"{name}.* 0\.9 ", show)
    assert re.search(r"^ +main .* 0\.95 ", show, re.MULTILINE)
    assert re.search(r"^results/metrics.json +\S+image_auroc( +-?0\.\d+){3}$", diff, re.MULTILINE)
    assert "lambda" in Path(re.search(r"file://(\S+)", plots)[1]).read_text(encoding="utf-8")
    assert "pushed" in colleague.script("dvc push tables checkpoints")

    colleague.script(back)
    assert metrics.read_bytes() == recorded
    assert colleague.git("status", "--porcelain").stdout == ""
    assert colleague.plan() == set()
    colleague.script(f"dvc exp apply {name}")
    assert metrics.read_bytes() != recorded
    assert colleague.plan() == set()
    colleague.script(back)

    colleague.script(remotes)
    assert {"team", "lab", "drive"} <= set(colleague.run("dvc", "remote", "list").stdout.split())
    colleague.script("git checkout .dvc/config")  # nothing can be fetched from there

    for kind in ("checkpoints", "maps", "metrics"):
        shutil.rmtree(colleague.folder / "results" / kind / "demo_mvtec")
    assert "Nothing to be done" in colleague.script(merge)
    assert (colleague.folder / "results/maps/demo_mvtec/nut/full/seed0/maps.safetensors").exists()
    assert metrics.read_bytes() == recorded


def check_scored_alone(output):
    """Check that an experiment made scores and what shows them, from the maps that were there."""
    for stage in ("data", "checkpoints", "maps"):
        assert f"Stage '{stage}' didn't change, skipping" in output
    assert rules(output) >= {"score_maps", "sweep_maps", "gather_metrics", "make_table", "report"}
    assert not rules(output) & {"fetch_dataset", "check_category", "pack_category", "train_model", "infer_maps"}
