"""Snakemake in processes forked from one that has imported it: each of many calls starts 2 s earlier."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SERVER = """
import json, os, sys, traceback
import pydantic, snakemake.cli, yaml

def run(folder, environment, arguments, files):
    for number, name in enumerate(files):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.argv = ["snakemake", *arguments]
    snakemake.cli.main()

for line in sys.stdin:
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 0
    try:
        run(*json.loads(line))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


@cache
def server():
    """Start the process that has imported Snakemake; it ends with this one."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER],  # -P: as for `snakemake`, nothing is imported from the folder it runs in
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        process_group=0,
    )


def snakemake(arguments, folder, environment):
    """Run ``snakemake`` with these arguments in a folder; returns what `subprocess.run` would."""
    arguments = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as scratch:
        files = [os.devnull, f"{scratch}/stdout", f"{scratch}/stderr"]
        try:
            print(json.dumps([str(folder), dict(environment), arguments, files]), file=server().stdin)
            code = server().stdout.readline()
        except BaseException:  # a test's time is over: the next call must not get this one's answer
            os.killpg(server().pid, signal.SIGKILL)
            server.cache_clear()
            raise
        assert code, f"the server of forked processes has ended before: snakemake {arguments}"
        output = [Path(name).read_text(encoding="utf-8", errors="replace") for name in files[1:]]
    return subprocess.CompletedProcess(["snakemake", *arguments], int(code), *output)
