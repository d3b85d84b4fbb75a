# What the rules share: checked settings, the runs that the targets cover, and the data that a job asks for only when
# it has to be made.

import json
import os
import re
import shlex
import sys
from argparse import ArgumentParser
from contextlib import contextmanager
from functools import cache
from itertools import chain

from safetensors import SafetensorError, safe_open
from snakemake_interface_executor_plugins.settings import ExecMode

from tfcore.data.content import content_of
from tfcore.methods.registry import load_settings, parse_settings
from tfcore.paper.numbers import published_digest
from tfcore.runs.needed import PLACES, TABLES, dataset_for, further_datasets, needed_by, reported_variants
from tfcore.runs.needed import selected_runs, shown_runs, shown_settings, timed_run
from tfcore.runs.record import read_record
from tfcore.runs.results import Results
from tfcore.runs.run import ANY, METRICS, TEXTURES_FOLDER, TIMING, Run, record_of
from tfcore.runs.stages import TABLE_VERSION, Result, foreground_source, method_of, shared_run, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest, read_json, write_json, write_text
from tfcore.settings.loading import merge, read_settings
from tfcore.settings.variants import resolve

# `python` in a rule is the one that runs Snakemake, also when its environment is not activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

DEMO_DATA = "data/demo/"  # made by the rule make_demo_data in the working directory


def located(path):
    """Return a path of the settings that holds from any working directory: relative ones start at the repository."""
    if path is None or str(path).startswith(DEMO_DATA):
        return path
    return str((Path(workflow.basedir) / Path(str(path)).expanduser()).resolve())


@contextmanager
def one_line_errors():
    """Turn what the user can mend before anything starts into one line on stderr and exit code 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


with one_line_errors():
    load_settings(Path(workflow.basedir) / "params.yaml")  # by itself first: a slip in it is named as such


configfile: Path(workflow.basedir) / "params.yaml"


def checked_settings():
    """Validate params.yaml and its overlays; one line and exit code 2 when something is wrong, and nothing starts."""
    files = list(reversed(workflow.configfiles))
    sources = [*map(str, files), *(["the command line (--config)"] if workflow.config_settings.config else [])]
    values = {}
    with one_line_errors():
        for layer in [*map(read_settings, files), config]:  # from params.yaml on, so that its order of variants stays
            values = merge(values, layer)
        settings = parse_settings(values, " + ".join(sources))
    values = settings.model_dump(mode="json", by_alias=True)
    for section in [values["textures"], *values["datasets"].values()]:
        section["local"] = located(section["local"])
    for section in values["datasets"].values():
        section["foregrounds"] = located(section["foregrounds"])
    values["hardware"]["released_weights"] = located(values["hardware"]["released_weights"])
    return parse_settings(values, " + ".join(sources))


def written_settings():
    """Write what the jobs read, once, under a name that follows from its content."""
    values = SETTINGS.model_dump(mode="json", by_alias=True)
    file = Path("work/settings") / f"{digest(values)}.json"
    if not file.exists():
        write_json(file, values)
    return str(file)


def listed(files):
    """Write paths, one a line, for commands that read a thousand of them; return the list's own path."""
    text = "".join(f"{file}\n" for file in files)
    file = Path("work/lists") / f"{digest(text)}.txt"
    if not file.exists():
        write_text(file, text)
    return str(file)


def as_params(value):
    """Return what Snakemake records and compares: the same text for the same settings."""
    return json.dumps(value, sort_keys=True)


SETTINGS = checked_settings()
PARAMS = written_settings()
RESULTS = Results(SETTINGS)  # which of them are there and current
BASELINE = SETTINGS.tables.baseline
DATASETS = SETTINGS.run.datasets
CATEGORIES = [Run(name, category) for name in DATASETS for category in SETTINGS.datasets[name].categories]


wildcard_constraints:
    dataset=r"[^/]+",
    category=r"[^/]+",
    variant=r"[^/]+",
    seed=r"\d+",
    epoch=r"\d+",


def needed_files(target, *stages):
    """Return the results of some stages that a target is made from."""
    return [str(result.file) for result in needed_by(SETTINGS, [target]) if result.stage in stages]


@cache
def params_of(stage, variant):
    """Return what a stage reads of a variant's settings, as Snakemake compares it."""
    return as_params(stage_settings(SETTINGS, stage, variant))


def settings_of(stage):
    """Return a `params:` function with the stage's settings of the job's variant."""
    return lambda wildcards: params_of(stage, wildcards.variant)


def run_of(wildcards):
    """Return the run that the wildcards name."""
    return Run(wildcards.dataset, wildcards.category, wildcards.variant, int(wildcards.seed))


def source_of(stage, part="file"):
    """Return an input function: what the job's result is made from, a checkpoint or anomaly maps, or its record."""
    return lambda wildcards: str(
        getattr(RESULTS.source_of(Result(stage, run_of(wildcards), wildcards.get("epoch"))), part)
    )


def foreground_of(wildcards):
    """Return where the synthetic anomalies of a category may lie."""
    return foreground_source(SETTINGS.datasets[wildcards.dataset], wildcards.category)


def pack_of(run):
    """Return what stands for a category's packed images."""
    return str(run.packed / "pack.json")


PACKED_TEXTURES = str(TEXTURES_FOLDER / "pack.json")


# The images are asked for only by jobs that will run. An edge from data to a finished training would let Snakemake
# repeat that training whenever the images have to be fetched again for another one; the manifest tells whether the
# images are still the same. Such conditional inputs need the rerun trigger "input" off: see profiles/default.
def images_to_train(wildcards):
    """Return the packed images, and textures if the method pastes them, unless the checkpoint is there already."""
    run = run_of(wildcards)
    if RESULTS.is_made(Result("train", run)):
        return []
    return [pack_of(run), *([PACKED_TEXTURES] if method_of(SETTINGS, run.variant).needs_textures else [])]


def images_to_infer(wildcards):
    """Return the packed images, unless the anomaly maps are there already."""
    result = Result("infer", run_of(wildcards), wildcards.get("epoch"))
    made = RESULTS.is_made(RESULTS.source_of(result)) and RESULTS.is_made(result)
    return [] if made else [pack_of(result.run)]


def demo_data(section):
    """Return the demo's data for a section that reads them."""
    return ["data/demo/made.json"] if (section.local or "").startswith(DEMO_DATA) else []


def content_of_textures():
    """Return a file that changes when the files of a local copy do: the textures are then linked and packed again."""
    local = Path(SETTINGS.textures.local or "")
    if SETTINGS.textures.local is None or demo_data(SETTINGS.textures) or not local.exists():
        return []
    file = Path("work/local_textures.json")
    content = {"local": str(local), "content": content_of(local)}
    if not file.exists() or read_json(file) != content:
        write_json(file, content)
    return [str(file)]


def is_packed(wildcards):
    """Return whether a category's pack is here and is what the settings ask for: it then needs no images."""
    about = read_record(Run(wildcards.dataset, wildcards.category).packed / "pack.json") or {}
    packing = stage_settings(SETTINGS, "pack")
    wanted = {"version": packing["version"], "size": packing["resize"], "foreground": foreground_of(wildcards)}
    return wanted.items() <= about.items()


def changed_source(wildcards):
    """Return a file that has just been written when the settings name another source than the data came from."""
    marker = Path(f"data/raw/{wildcards.dataset}.json")
    local = SETTINGS.datasets[wildcards.dataset].local
    if not marker.exists() or (read_record(marker) or {}).get("local") == local:
        return []
    file = Path(f"work/sources/{wildcards.dataset}.json")
    write_json(file, {"local": local})
    return [str(file)]


def raw_to_check(wildcards):
    """Return the raw data, unless the manifest is there and nobody has asked for a new check of it."""
    manifest = Run(wildcards.dataset, wildcards.category).manifest
    forced = workflow.dag_settings.forceall or {"check_category", str(manifest)} & {*workflow.dag_settings.forcerun}
    return [] if manifest.exists() and not forced else [f"data/raw/{wildcards.dataset}.json"]


def refuse_paper_scale():
    """Refuse trainings that a CPU would never end, before data are fetched for them; raises `UserError`."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "train_model"]
    if not jobs or SETTINGS.hardware.device != "auto":
        return
    import torch  # takes seconds, as do some of these

    from tfcore.methods.cpu_guard import check_training
    from tfcore.operations.plan import image_counts

    if torch.cuda.is_available():
        return
    for job in jobs:
        counts = image_counts(SETTINGS, job.wildcards.dataset, job.wildcards.category)
        if counts is not None:  # else the training itself asks
            check_training(stage_settings(SETTINGS, "train", job.wildcards.variant), counts[0])


SHOWN = timed_run(SETTINGS)  # the run of Table 5 and of the reverse process
PLACE = {str(number): dataset_for(SETTINGS, name) for number, name in PLACES.items()}
SHOWS = {"1": "image AUROC", "2": "image AUROC", "3": "detection and localisation", "4": "ablations"}
SHOWS |= {"5": "inference time", "6": "AUPRO", "7": "AUPRO", "8": "best epoch", "9": "best epoch"}


def selected():
    """Return those settings that tables and sweep figures read, beside what is in the scores."""
    kept = {"title", "layout", "published", "categories"}
    return SETTINGS.model_dump(mode="json", by_alias=True, include={"tables", "run"}) | {
        "datasets": {name: SETTINGS.datasets[name].model_dump(include=kept) for name in DATASETS},
        "variants": SETTINGS.variants,
        "epochs": method_of(SETTINGS, BASELINE).epochs(resolve(SETTINGS, BASELINE).own),
    }


BESIDE = {"version": TABLE_VERSION, "published": published_digest()}  # what tables and the page read beside scores


def scores_of(table):
    """Return the scores that a table shows, and no more: asking for one makes no run that it does not need."""
    if table in [f"table{number}" for number in TABLES]:
        return needed_files(table, "score", "sweep")
    runs = selected_runs(SETTINGS, reported_variants(SETTINGS), [table.removeprefix("table_")])
    return [str(run.scores) for run in runs]


def table_files(table):
    """Return every file of a table but its Markdown."""
    return [f"results/tables/{table}{ending}" for ending in (".csv", ".tex", "_intervals.md", "_intervals.tex")]


def files_of(table):
    """Return every file of a table. Targets ask for all of them: Snakemake makes again only what is asked for."""
    return [f"results/tables/{table}.md", *table_files(table)]


def labels_of(wildcards):
    """Return a table's labels in Snakemake's report."""
    name = wildcards.table.removeprefix("table").removeprefix("_")
    if name in DATASETS:
        return {"table": "further", "shows": "image AUROC and AUPRO", "dataset": SETTINGS.datasets[name].title}
    place = PLACE.get(name)
    title = SETTINGS.datasets[place].title if place else PLACES.get(int(name), "all")
    return {"table": name, "shows": SHOWS[name], "dataset": title}


def timed_settings():
    """Return what decides the times of Table 5."""
    training = stage_settings(SETTINGS, "train", BASELINE)
    timed = SETTINGS.tables.model_dump(include={"inference_steps", "inference_batches"})
    return timed | {name: training.get(name) for name in ("method", "model", "diffusion", "data")}


# The weights do not matter for the time, so a checkpoint that is there is no input: when another run is shown, the times
# of the device that they were measured on stay.
def model_to_time(wildcards):
    """Return the checkpoint, unless it is there already."""
    return [] if RESULTS.is_made(Result("train", SHOWN)) else [str(SHOWN.checkpoint)]


def scores_so_far():
    """Return the score files that are there and are what the settings ask for, and those that are there but are not."""
    results = needed_by(SETTINGS, ["metrics"])
    current = [result.file for result in results if RESULTS.is_made(result)]
    return current, [result.file for result in results if result.file.exists() and result.file not in current]


def shown_files(stage, file):
    """Return an input function: a file of the result of every run that the figures of the job's dataset show."""
    return lambda wildcards: [
        str(file(shared_run(SETTINGS, stage, run))) for run in shown_runs(SETTINGS, wildcards.dataset)
    ]


def figure_files(name):
    """Return every file of a figure but its picture."""
    return [f"results/figures/{name}.svg", f"results/figures/{name}.csv"]


def figure_output(name, caption, **labels):
    """Return every file of a figure, its picture with caption and labels in Snakemake's report."""
    picture = f"results/figures/{name}.png"
    return [report(picture, caption=f"../report/{caption}.rst", category="Figures", labels=labels), *figure_files(name)]


def figure_names():
    """Return the figures of the baseline: those of sweeps and of its steps where its method has them."""
    method = method_of(SETTINGS, BASELINE)
    own = ["lambda_sweep", "kernel_sweep"] if method.reads("sweep") else []
    own += ["reverse_process"] if method.traces else []
    kinds = ("losses", "reconstructions", "failures", "examples")
    return own + [f"{kind}_{dataset}" for kind in kinds for dataset in DATASETS]


def traced_checkpoint(file):
    """Return the sha256 of the checkpoint that a trace was made with; None without a trace."""
    try:
        with safe_open(file, framework="numpy") as trace:
            return (trace.metadata() or {}).get("checkpoint_sha256")
    except (OSError, SafetensorError):
        return None


def images_to_trace(wildcards):
    """Return the packed images, unless the trace is there already and is of the checkpoint that is there."""
    run = run_of(wildcards)
    if RESULTS.is_made(Result("train", run)):
        if traced_checkpoint(run.trace) == read_json(record_of(run.checkpoint)).get("model_sha256"):
            return []
    return [pack_of(run)]


def gallery_images(wildcards):
    """Return the packed images and textures, unless the picture and its run's checkpoint are there already."""
    run = shared_run(SETTINGS, "train", Run(wildcards.dataset, wildcards.category, BASELINE, SETTINGS.run.seeds[0]))
    file = Path(f"results/figures/{wildcards.kind}/{wildcards.dataset}_{wildcards.category}.png")
    made = file.exists() and RESULTS.is_made(Result("train", run))
    return [] if made else [pack_of(run), PACKED_TEXTURES]


def given_command():
    """Return the command that Snakemake was started with: what decides where and what it makes, without targets.

    Options of several values come first and one of a single value last, so that a target can follow.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    for option in ("--snakefile", "--directory", "--executor", "--jobs", "--cores"):
        parser.add_argument(option, option[1:3], nargs=1, default=[])
    parser.add_argument("--profile", action="append", default=[])
    given = vars(parser.parse_known_args()[0])
    profiles = given.pop("profile") or [name for name in [os.environ.get("SNAKEMAKE_PROFILE")] if name]
    options = [[f"--{name}", *values] for name, values in given.items() if values]
    return shlex.join(["snakemake", *chain(*options, *(["--profile", name] for name in profiles))])


COMMAND = given_command()  # the page has commands to copy
