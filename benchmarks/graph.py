"""How long Snakemake takes to see what there is to do, at the paper's scale.

There is no plain way beside it: the time is Snakemake's own, and the rules have one form. What it is held to is a bound
in seconds (tests/workflow/test_graph.py).
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, report
from tfcore.runs.record import device_name
from tfcore.runtime.errors import UserError


def run(out: Path | None, repeats: int, targets: tuple[str, ...] = ("all_tables", "table3", "data")) -> list[Row]:
    """Time ``snakemake -n TARGET`` in an empty working directory, without any data, and count its jobs."""
    rows: list[Row] = []
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            command = [sys.executable, "-m", "snakemake", "-s", str(root / "Snakefile"), "-d", folder, "-n", target]
            seconds, jobs = [], 0
            for _ in range(repeats):
                start = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                seconds.append(time.perf_counter() - start)
                if done.returncode:
                    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
                    raise UserError(f"snakemake -n {target}: {lines[-1] if lines else 'failed'}")
                found = re.findall(r"^total\s+(\d+)", done.stdout + done.stderr, flags=re.MULTILINE)
                jobs = int(found[-1]) if found else 0
            middle = statistics.median(seconds)
            rows.append({"target": target, "jobs": jobs, "seconds": middle, "slowest": max(seconds)})
    report(rows, {"device": device_name("cpu"), "repeats": repeats}, out)
    return rows
