"""How long Snakemake takes to see what there is to do, at the paper's scale.

There is no baseline beside it: the time is Snakemake's own, and the rules have one form. Its bound in seconds is in
tests/workflow/test_graph.py.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.measure import Row, report
from tfcore.runs.record import device_name
from tfcore.runtime.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def run(out: Path | None, repeats: int, targets: tuple[str, ...] = ("all_tables", "table3", "data")) -> list[Row]:
    """Time ``snakemake -n TARGET`` in an empty working directory, without any data, and count its jobs."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            plans = [dry_run(target, folder) for _ in range(repeats)]
            seconds = [each for each, _ in plans]
            rows.append({"target": target, "jobs": plans[0][1], "seconds": median(seconds), "slowest": max(seconds)})
    report(rows, {"device": device_name("cpu"), "repeats": repeats}, out)
    return rows


def dry_run(target: str, folder: str) -> tuple[float, int]:
    """Return the seconds of one plan and the jobs in it; `UserError` with Snakemake's last line when it fails."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-d", folder, "-n", target]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds, said = time.perf_counter() - start, done.stdout + done.stderr
    if done.returncode:
        raise UserError(f"snakemake -n {target}: {(said.strip() or 'failed').splitlines()[-1]}")
    found = re.findall(r"^total\s+(\d+)", said, flags=re.MULTILINE)
    return seconds, int(found[-1]) if found else 0
