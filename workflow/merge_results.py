"""Add the results of another git revision to those here: ``python workflow/merge_results.py origin/theirs``.

Runs are added whole, never replaced or completed: a checkpoint of one training and anomaly maps or scores of another do
not belong together. Snakemake then makes what is missing and the tables of all runs, and `dvc repro` records them.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tfcore.runs.run import Run, existing

THEIRS = Path("work/merge")
METADATA = Path(".snakemake/metadata")


def folders(run: Run) -> list[Path]:
    """Return the folders that hold everything of a run."""
    return [run.checkpoint.parent, run.maps.parent, run.scores.parent]


def runs_below(root: Path) -> set[Run]:
    """Return the runs of which there is any file."""
    return {
        run
        for part in range(3)
        for run, found in existing(lambda run, part=part: folders(run)[part] / "**" / "*", root)
        if found.is_file()
    }


def fetch(revision: str) -> None:
    """Get all of the revision's results first: a failed download leaves everything as it was."""
    shutil.rmtree(THEIRS, ignore_errors=True)
    parts = {folder.parents[3] for folder in folders(Run("dataset", "category"))}
    for part in [*sorted(parts), METADATA]:
        (THEIRS / part).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dvc", "get", "--quiet", "--rev", revision, "--out", THEIRS / part, ".", part], check=True)


def main(revision: str) -> None:
    """Fetch a revision's results and move in the runs that are not here, and what Snakemake knows of them."""
    fetch(revision)
    for run in runs_below(THEIRS) - runs_below(Path()):
        for folder in folders(run):
            if (THEIRS / folder).is_dir():
                shutil.rmtree(folder, ignore_errors=True)  # holds no file
                folder.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(THEIRS / folder, folder)
    for file in (THEIRS / METADATA).rglob("*"):
        here = METADATA / file.relative_to(THEIRS / METADATA)
        if file.is_file() and not here.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, here)
    shutil.rmtree(THEIRS)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("which revision? make merge REV=origin/theirs")
    try:
        main(sys.argv[1])
    except subprocess.CalledProcessError:
        sys.exit(f"error: {sys.argv[1]}: its results cannot be fetched; nothing was changed")
