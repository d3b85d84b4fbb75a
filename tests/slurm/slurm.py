"""What the tests ask of the cluster."""

import re
import subprocess
import time


def command(*words):
    """Run a SLURM command and return its output."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def running():
    """Return the ids of the jobs that wait, run or end."""
    return command("squeue", "-h", "-o", "%i").split()


def jobs(state):
    """Return all jobs that the cluster knows, finished ones too: id, state, node, partition, comment, gpus."""
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
            }
        )
    return found


def wait_for(condition, seconds, what):
    """Wait until ``condition()`` is true and return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")
