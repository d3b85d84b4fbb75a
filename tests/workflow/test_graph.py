"""The graph as a user meets it: targets, the plan at the paper's scale, the line that bad settings give."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import torch
import yaml

from tfcore.methods.registry import load_settings
from tfcore.runs.run import Run
from tfcore.runs.stages import foreground_source, stage_settings
from tfcore.runtime.files import digest, sha256_of

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = Path(sys.executable).parent / "snakemake"
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}


def snakemake(*arguments):
    return forked.snakemake(arguments, ROOT, ENVIRONMENT)


def timed(*arguments):
    """Run Snakemake as a process of its own; return its output and its processor time, the same on a busy machine."""
    start = sum(os.times()[2:4])
    command = [SNAKEMAKE, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr, sum(os.times()[2:4]) - start


def job_counts(output):
    """Return the table of jobs that a dry run prints."""
    stats = output.split("Job stats:")[1]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)}


@pytest.fixture(scope="session")
def paper_scale(tmp_path_factory):
    """Return the plan of the paper's scale in an empty folder, and the processor time that it took."""
    return timed("--dry-run", "--directory", tmp_path_factory.mktemp("paper"), "all_tables")


# A dry run that records its jobs as done, as `snakemake` does after each of them.
RECORD = """
import runpy
import snakemake.cli
from snakemake.dag import DAG

def record(dag, stats=DAG.stats):
    records = dag.workflow.persistence
    records._clear_cache = lambda: None
    for job in dag.needrun_jobs():
        dag.workflow.async_run(records.finished(job))
    return stats(dag)

DAG.stats = record
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
"""
SPARSE = {"model.safetensors": 218_000_000, "maps.safetensors": 85_000_000}  # bytes that take no place on the disk


def make_as_if_pulled(folder, plan):
    """Leave every result of a plan in a folder, with Snakemake's records and without any data."""
    for line in re.findall(r"^    output: (.+)$", plan, re.MULTILINE):
        for name in line.split(", "):
            file = folder / name.removesuffix(" (update)")
            if not name.startswith(("data/raw", "data/packed")):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    settings = load_settings(ROOT / "params.yaml")
    for file in folder.glob("results/*/*/*/*/*/run.json"):
        kind, dataset, category, variant = file.relative_to(folder / "results").parts[:4]
        stage = {"checkpoints": "train", "maps": "infer"}[kind]
        inputs = {
            "manifest_sha256": sha256_of(folder / Run(dataset, category).manifest),
            "foreground": foreground_source(settings.datasets[dataset], category),
        }
        made = {"settings_digest": digest(stage_settings(settings, stage, variant)), "inputs": inputs}
        file.write_text(json.dumps(made), encoding="utf-8")
    command = [sys.executable, "-c", RECORD, "--dry-run", "--forceall", "--directory", folder, "all_tables"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=800)
    for file in folder.glob("results/*/*/*/*/*/*.safetensors"):  # now: for the records 30 GB would be read
        os.truncate(file, SPARSE[file.name])


@pytest.mark.xdist_group("paper scale")
def test_paper_scale_after_a_pull_is_seen_to_be_done(paper_scale, tmp_path):
    make_as_if_pulled(tmp_path, paper_scale[0])
    for number, file in enumerate(sorted((tmp_path / "results").rglob("*"))):
        os.utime(file, (1e9 + number * 7919 % 1000,) * 2)  # times in no order, as a pull leaves them
    output, seconds = timed("--dry-run", "--directory", tmp_path, "all_tables")
    assert "Nothing to be done" in output
    assert seconds < 15


def test_target_rules_read_like_a_contents_page():
    listed = snakemake("--list-target-rules").stdout
    names = {line.split(" ")[0] for line in listed.splitlines()}
    wanted = {"data", "checkpoints", "maps", "metrics", "tables", "ablations", "figures", "report", "all_tables"}
    assert wanted | {f"table{number}" for number in range(1, 10)} <= names
    assert all("(" in line for line in listed.splitlines() if line.split(" ")[0] in wanted)


@pytest.mark.xdist_group("paper scale")
def test_paper_scale_plan_without_any_data(paper_scale):
    output, seconds = paper_scale
    counts = job_counts(output)
    # 15 variants, of which steps_20 and schedule_linear are the full model; 27 categories
    assert counts["train_model"] == counts["infer_maps"] == 27 * 13
    assert counts["score_maps"] == 27 * 15
    assert counts["fetch_dataset"] == 2
    assert counts["check_category"] == counts["pack_category"] == 27
    assert 1000 <= counts["total"] <= 2000
    assert seconds < 15


def test_targets_ask_for_every_file_of_a_table_and_a_figure(tmp_path):
    done = snakemake("--dry-run", "--profile", "demo", "--directory", tmp_path, "all_tables")
    (wanted,) = re.findall(r"^rule all_tables:\n    input: (.+)$", done.stdout + done.stderr, re.MULTILINE)
    made = re.findall(r"^    output: (results/(?:tables|figures)/.+)$", done.stdout + done.stderr, re.MULTILINE)
    outputs = {name for line in made for name in line.split(", ")}
    assert {"results/tables/table1_intervals.tex", "results/tables/claims.csv"} <= outputs
    claims = {name for name in outputs if "/claims" in name}  # asked for by the report page
    assert outputs - claims == {
        name for name in wanted.split(", ") if name.startswith(("results/tables", "results/fig"))
    }


def test_page_gets_the_command_with_everything_that_decides_its_tables(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("score: {lambda: 0.5}\n", encoding="utf-8")
    options = ["--configfile", str(overlay), "--config", "run={seeds: [1]}", "--directory", str(tmp_path)]
    asked = ["--profile", "demo", *options, "-n", "--printshellcmds", "--forcerun", "table1", "--", "report"]
    done = snakemake(*asked)
    (shown,) = re.findall(r"python -m tfcore report .* --snakemake (.+) >logs", done.stdout + done.stderr)
    assert shlex.split(*shlex.split(shown)) == ["snakemake", *options, "--profile", "demo"]


def test_groups_of_the_cluster_profile_name_rules_that_run_there():
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)", text, re.MULTILINE))
    lists = re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE)
    on_the_host = set(re.findall(r"\w+", "".join(lists)))
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    grouped = {entry.split("=")[0] for entry in profile["groups"]}
    assert {"make_table", "report"} <= on_the_host < rules
    assert grouped <= rules - on_the_host


def test_the_file_that_a_site_copies_begins_with_the_values_of_the_cluster_profile():
    profile, site = (yaml.safe_load((ROOT / f"profiles/slurm/{name}.yaml").read_text()) for name in ("config", "site"))
    assert {"default-resources", "set-resources"} <= set(site)
    assert site == {key: profile[key] for key in site}


def test_check_data_checks_every_category_and_trains_nothing(tmp_path):
    done = snakemake("--dry-run", "--profile", "demo", "--directory", tmp_path, "check_data")
    assert done.returncode == 0, done.stderr[-3000:]
    assert job_counts(done.stdout + done.stderr)["check_category"] == 4
    assert "pack_category" not in done.stdout + done.stderr


@pytest.mark.parametrize(("target", "trainings"), [("table1", 12), ("table3", 27), ("table5", 1)])
def test_a_table_asks_only_for_the_runs_that_it_shows(tmp_path, target, trainings):
    done = snakemake("--dry-run", "--directory", tmp_path, target)
    counts = job_counts(done.stdout + done.stderr)
    assert counts["train_model"] == trainings
    assert "gather_metrics" not in counts


def test_a_dataset_beside_the_papers_gets_a_table_of_its_own(tmp_path):
    third = "my_parts: {title: My parts, layout: mvtec, categories: [cog], local: my_parts}"
    chosen = ("run={datasets: [visa, mvtec_ad, my_parts]}", f"datasets={{{third}}}")
    done = snakemake("--dry-run", "--directory", tmp_path, "--config", *chosen, "--", "tables")
    assert done.returncode == 0, done.stderr[-3000:]
    assert job_counts(done.stdout + done.stderr)["make_table"] == 10
    assert "results/tables/table_my_parts.md" in done.stdout + done.stderr


def test_demo_plan_lists_every_row_of_table_4(tmp_path):
    done = snakemake("--dry-run", "--profile", "demo", "--directory", tmp_path, "all_tables")
    counts = job_counts(done.stdout + done.stderr)
    # full and untrained on four categories; the 15 others, of which three share a training, on one
    assert counts["train_model"] == 4 * 2 + 13
    assert counts["score_maps"] == 4 * 2 + 15
    assert counts["make_table"] == 9


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("train: {epoch: 3}", "train.epoch"),
        ("train: {epochs: many}", "train.epochs"),
        ("train: {epochs: true}", "train.epochs"),
        ("tables: {checkpoint_epochs: [2000]}", "tables.checkpoint_epochs"),
        ("train: {keep_epochs: [2]}", "train.keep_epochs is tables.checkpoint_epochs now"),
        ("variants: {odd: {model.colour: red}}", "model.colour"),
        ("run: {datasets: [cats]}", "cats"),
        ("diffusion: 3", "diffusion"),
        ("run: {release: there}", "run.release is hardware.released_weights now"),
        ("variants: {odd: {method: none}}", "no such method 'none' (known: transfusion)"),
    ],
)
def test_bad_settings_give_one_line_and_nothing_starts(tmp_path, text, named):
    overlay = tmp_path / "broken.yaml"
    overlay.write_text(text, encoding="utf-8")
    done = snakemake("--cores", 1, "--directory", tmp_path / "run", "--configfile", overlay, "--", "all_tables")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert named in line
    assert "broken.yaml" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "results").exists()


def test_bad_setting_of_the_command_line_is_named_as_such(tmp_path):
    done = snakemake("--dry-run", "--directory", tmp_path, "--config", "score={lambda: 2}", "--", "all_tables")
    assert done.returncode == 2
    assert "the command line (--config): score.lambda" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_paper_scale_on_a_machine_without_a_gpu_is_refused_before_anything_is_fetched(tmp_path):
    done = snakemake("--cores", 1, "--directory", tmp_path, "all_tables")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.match(r"error: no GPU found, .* days on two CPU cores: .*hardware\.device: cpu$", line)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists() and not (tmp_path / "logs").exists()
    assert not list((tmp_path / ".snakemake").glob("locks/*"))  # the directory is not left locked


def test_params_that_are_no_yaml_give_one_line(checkout, tmp_path):
    broken = checkout.copy(tmp_path / "checkout")
    (broken.folder / "params.yaml").write_text("train: [1\n  epochs: 2\n", encoding="utf-8")
    done = broken.run("snakemake", "--dry-run", "all_tables", check=False)
    assert done.returncode == 2
    assert "params.yaml: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_released_weights_are_a_variant_of_their_own(tmp_path):
    variant = "{protocol: release, train.released: true, infer.precision: float32}"
    chosen = ("run={variants: [full, released]}", f"variants={{released: {variant}}}", "tables={compare: [released]}")
    chosen += (f"hardware={{released_weights: {tmp_path}}}",)
    done = snakemake("--dry-run", "--directory", tmp_path, "--config", *chosen, "--", "table1")
    counts = job_counts(done.stdout + done.stderr)
    assert counts["train_model"] == counts["infer_maps"] == counts["score_maps"] == 24
