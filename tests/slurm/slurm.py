"""What the tests ask of the cluster."""

import contextlib
import re
import subprocess
import time
from pathlib import Path

import psutil


def command(*words):
    """Run a SLURM command and return its output."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def running():
    """Return the ids of the jobs that wait, run or end."""
    return command("squeue", "-h", "-o", "%i").split()


def jobs():
    """Return all jobs that the cluster knows, finished ones too, in the order of submission."""
    found = []
    for block in command("scontrol", "show", "jobs").split("\n\n"):
        fields = dict(re.findall(r"(\w+)=(\S*)", block))
        if "JobId" not in fields:
            continue
        gpus = re.search(r"gres/gpu[^=,]*=(\d+)", fields.get("TRES", "")) or re.search(
            r"gpu[^=]*:(\d+)", fields.get("TresPerJob", "")
        )
        found.append(
            {
                "id": fields["JobId"],
                "state": fields["JobState"],
                "node": fields.get("NodeList", ""),
                "partition": fields["Partition"],
                "comment": fields.get("Comment", ""),
                "restarts": int(fields["Restarts"]),
                "gpus": int(gpus.group(1)) if gpus else 0,
                "limit": fields["TimeLimit"],
                "memory": fields["MinMemoryNode"],
            }
        )
    return sorted(found, key=lambda job: int(job["id"]))


def wait_for(condition, seconds, what):
    """Wait until ``condition()`` is true and return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")


def processes(state):
    """Return what runs of the cluster: its daemons, the managers of its job steps, and what these started."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        line = process.info["cmdline"] or [""]
        job = (process.info["environ"] or {}).get("SLURM_CLUSTER_NAME") == "transfusion-test"
        daemon = Path(line[0]).name in ("slurmctld", "slurmd", "slurmdbd", "slurmstepd:") or str(state) in " ".join(
            line
        )
        if (job or daemon) and is_living(process):
            found.append(process)
    return found


def is_living(process):
    """Return whether a listed process is more than the entry of one that ended."""
    return process.info["status"] not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def kill(processes):
    """Kill processes without notice and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=30)
