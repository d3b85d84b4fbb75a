"""`python -m tfcore …` and Python of README and docs/, run page by page in a copy of the finished micro benchmark."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import draw_dataset, save
from pages import PAGES, ROOT, blocks, page_commands
from safetensors import safe_open
from safetensors.numpy import save_file
from test_docs_commands import overlay_text

from tfcore.methods.transfusion.released import read_state

pytestmark = pytest.mark.xdist_group("pages")  # all steps are run by one worker, in their order

FIRST = ("quickstart.md", "performance.md")  # a training, and a benchmark's CSV, that other pages use
RUN = "demo_visa/pills/full/seed0"

# What the pages name, and what stands in its place here.
INSTEAD = {
    "visa": "demo_visa",
    "capsules": "pills",
    "MAPS.safetensors": f"results/maps/{RUN}/maps.safetensors",
    "FILE": f"results/checkpoints/{RUN}/model.safetensors",
    "speed.csv": "train.csv",
    "crop=224": "crop=16",
}

OVERLAYS = {"my.yaml": "train: {epochs: 1}\n", "deterministic.yaml": "hardware: {deterministic: true}\n"}

# Options in the place of the pages': smaller sizes, and what a sentence leaves out.
OPTIONS = {
    "bench train": "--size 16 --width 8 --batch 1 --native 32 --repeats 1 --out train.csv",
    "bench infer": "--size 16 --width 8 --batch 1 --steps 3 --repeats 1 --out infer.csv",
    "bench anomalies": "--size 16 --batch 1 --repeats 1",
    "bench aupro": "--images 4 --size 32 --repeats 1",
    "bench graph": "--repeats 1",
    "bench pack": "--images 5 --repeats 1",
    "gallery foregrounds": "--dataset demo_visa --category pills",
}

# What is parsed only (tests/unit/test_docs.py), and why.
NOT_RUN = {
    "demo-data --out data/demo": "the finished benchmark has run it, as a rule",
    "pack": "named in a sentence, without what it needs",
    "convert-release": "named in a sentence, without what it needs",
    "gather": "named in a sentence, without what it needs",
}

# Runs each line of its input as a Python of its own would, but imports torch once for all.
DRIVER = """
import glob, json, multiprocessing, runpy, sys
import pandas, torch, tfcore.cli

def run(kind, words, log):
    sys.stdout = sys.stderr = open(log, "w", encoding="utf-8")
    if kind == "-c":
        exec(words, {"__name__": "__main__"})
        return
    found = [sorted(glob.glob(word)) if "*" in word else [word] for word in words]  # as the shell does
    sys.argv = ["tfcore", *sum(found, [])]
    runpy.run_module("tfcore", run_name="__main__", alter_sys=True)

context = multiprocessing.get_context("fork")
for line in open(sys.argv[1], encoding="utf-8"):
    process = context.Process(target=run, args=json.loads(line))
    process.start()
    process.join()
    print(process.exitcode)
"""


def replaced(word):
    for name, other in INSTEAD.items():
        word = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", other, word)
    return word


def with_options(words):
    """Return the words of a command with our options in the place of its own."""
    words, ours = list(words), OPTIONS.get(" ".join(words[:2]), "").split()
    for option in ours[::2]:
        if option in words:
            place = words.index(option)
            del words[place : place + 2]
    return [*words, *ours]


def not_run(words):
    return " ".join(words) in NOT_RUN or " ".join(words[:2]) in NOT_RUN


def steps():
    """Return (kind, words or text) of each command and Python block and where it stands, in the order of running."""
    found = {}
    for page in sorted(PAGES, key=lambda page: (FIRST.index(page.name) if page.name in FIRST else len(FIRST), page)):
        for words, _ in page_commands(page):
            if words[1:3] == ["-m", "tfcore"] and not not_run(words[3:]):
                step = ("-m", tuple(map(replaced, with_options(words[3:]))))
                found.setdefault(step, f"{page.name}: {' '.join(words[3:])}")
        for number, (marker, text) in enumerate(blocks(page, "python")):
            if not marker.startswith("test: "):  # those are run by tests/unit/test_api.py
                found.setdefault(("-c", replaced(text)), f"{page.name}: Python {number}")
    return found


STEPS = steps()


def prepare(folder):
    """Put what the pages take for granted into a repository, and remove the run that the quick start makes."""
    for name in ("checkpoints", "maps", "metrics"):
        shutil.rmtree(folder / "results" / name / RUN)
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
    (folder / "docs").mkdir()
    parts = {"parts.yaml": overlay_text(ROOT / "docs/extending.md", "parts.yaml")}
    for name, text in (OVERLAYS | parts).items():
        (folder / name).write_text(text, encoding="utf-8")
    draw_dataset(folder / "my_parts" / "cog")
    images = np.load(folder / "data/packed/demo_visa/pills/images.npy")
    for number in range(2):
        save(images[number], folder / "photos" / f"{number}.png")
    state = read_state(ROOT / "tests/golden/tiny_release_fixture.safetensors")
    torch.save(state, folder / "capsules_model.pkl")


def other_method(finished, folder):
    """Write the maps of the finished run as another method's, and as plain arrays."""
    file = finished / "results/maps" / RUN / "maps.safetensors"
    with safe_open(file, "numpy") as maps:
        header, arrays = maps.metadata(), {name: maps.get_tensor(name) for name in maps.keys()}  # noqa: SIM118
    for name, array in (("maps", "disc"), ("masks", "mask_nearest"), ("labels", "label")):
        np.save(folder / f"{name}.npy", arrays[array])
    header["run"] = json.dumps(json.loads(header["run"]) | {"method": "other"})
    of_any_method = ("label", "mask_nearest", "mask_antialiased")
    arrays = {"map": arrays["disc"]} | {name: arrays[name] for name in of_any_method}
    (folder / "other/pills").mkdir(parents=True)
    save_file(arrays, folder / "other/pills/maps.safetensors", metadata=header)


@pytest.fixture(scope="module")
def outcomes(finished, tmp_path_factory):
    """Run all steps; return the folder, and exit code and output of each."""
    folder = finished.copy(tmp_path_factory.mktemp("documented") / "checkout").folder
    prepare(folder)
    other_method(finished.folder, folder)
    logs = [folder / f"step{number}.log" for number in range(len(STEPS))]
    lines = [json.dumps([kind, what, str(log)]) for (kind, what), log in zip(STEPS, logs, strict=True)]
    (folder / "steps.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "driver.py").write_text(DRIVER, encoding="utf-8")
    codes = finished.__class__(folder).run("python", "driver.py", "steps.txt").stdout.split()
    texts = [log.read_text(encoding="utf-8") for log in logs]
    return folder, dict(zip(STEPS, zip(map(int, codes), texts, strict=True), strict=True))


def test_there_are_commands():
    assert len(STEPS) > 30


def test_what_is_not_run_is_still_in_the_pages():
    named = {" ".join(words[3:]) for page in PAGES for words, _ in page_commands(page)}
    assert all(any(text.startswith(name) for text in named) for name in (*NOT_RUN, *OPTIONS))


@pytest.mark.parametrize("step", STEPS, ids=STEPS.values())
def test_it_runs_and_writes_what_it_names(step, outcomes):
    folder, done = outcomes
    code, output = done[step]
    assert code == 0, output[-3000:]
    words = step[1] if step[0] == "-m" else ()
    for option, name in pairwise(words):
        if option.startswith("--out"):
            assert (Path(folder) / name).exists()
