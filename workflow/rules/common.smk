# What the rules share: checked settings, the runs that the targets cover, and the data that a job asks for only when
# it has to be made.

import json
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from tfcore.settings.sections import RELEASE, RELEASE_OVERRIDES
from tfcore.settings.variants import Settings
from tfcore.runtime.files import digest
from tfcore.methods.registry import load_settings, parse_settings
from tfcore.settings.loading import merge, read_settings
from tfcore.runs.results import Results
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import write_json, write_text
from tfcore.runs.needed import selected_runs
from tfcore.runs.run import Run, manifest_file, packed_folder
from tfcore.runs.stages import foreground_source, shared_run, shared_variant, stage_settings

# `python` in a rule is the one that runs Snakemake, also when its environment is not activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

DEMO_DATA = "data/demo/"  # made by the rule make_demo_data in the working directory
RUN = "{dataset}/{category}/{variant}/seed{seed}"


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
    if settings.run.release is not None:  # a variant that is only scored, by release_tables
        values["run"] |= {"release": located(settings.run.release), "variants": settings.selected_variants}
        values["variants"][RELEASE] = RELEASE_OVERRIDES
    with one_line_errors():
        return parse_settings(values, f"run.release: {settings.run.release}")


def only_variant(settings, variant, seed):
    """Return settings whose tables report one variant and one seed."""
    values = settings.model_dump(mode="json", by_alias=True)
    values["run"] |= {"variants": [variant], "seeds": [seed], "sweep_variants": [variant]}
    values["tables"]["baseline"] = variant
    return Settings.model_validate(values)


def written_settings(settings):
    """Write what the jobs read, once, under a name that follows from its content."""
    values = settings.model_dump(mode="json", by_alias=True)
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
PARAMS = written_settings(SETTINGS)
DATASETS = SETTINGS.run.datasets
CATEGORIES = [(name, category) for name in DATASETS for category in SETTINGS.datasets[name].categories]
VARIANTS = SETTINGS.selected_variants
SEEDS = SETTINGS.run.seeds
STAGES = {
    stage: {variant: stage_settings(SETTINGS, stage, variant) for variant in SETTINGS.variants}
    for stage in ("train", "infer", "score", "sweep")
}
PACKING = stage_settings(SETTINGS, "pack")
# Variants whose settings of a stage are equal share its result.
TRAINED_AS = {variant: shared_variant(SETTINGS, "train", variant) for variant in SETTINGS.variants}
INFERRED_AS = {variant: shared_variant(SETTINGS, "infer", variant) for variant in SETTINGS.variants}
BASELINE = SETTINGS.tables.baseline
RESULTS = Results(SETTINGS)  # which of them are there and current
SHOWN = Run(*CATEGORIES[0], TRAINED_AS[BASELINE], SEEDS[0])  # the run of Table 5 and of the reverse process


wildcard_constraints:
    dataset=r"[^/]+",
    category=r"[^/]+",
    variant=r"[^/]+",
    seed=r"\d+",
    epoch=r"\d+",
    number=r"\d+",


def per_category(pattern):
    """Return the pattern's path for every selected category."""
    return [pattern.format(dataset=dataset, category=category) for dataset, category in CATEGORIES]


def per_run(pattern, variants, shared_as=None, datasets=DATASETS):
    """Return the pattern's path for every category that a variant covers and every seed; none twice.

    `shared_as` gives the variant under whose name a result lies.
    """
    runs = selected_runs(SETTINGS, variants, datasets)
    if shared_as is not None:
        runs = [replace(run, variant=shared_as[run.variant]) for run in runs]
    return list(dict.fromkeys(pattern.format(**vars(run)) for run in runs))


def settings_of(stage):
    """Return a `params:` function with the stage's settings of the job's variant."""
    return lambda wildcards: as_params(STAGES[stage][wildcards.variant])


def run_of(wildcards, variant=None):
    """Return the run that the wildcards name, or the same run of another variant."""
    return Run(wildcards.dataset, wildcards.category, variant or wildcards.variant, int(wildcards.seed))


def checkpoint_of(wildcards):
    """Return the checkpoint that a run is inferred with."""
    return run_of(wildcards, TRAINED_AS[wildcards.variant]).checkpoint


def maps_of(wildcards):
    """Return the maps that a run is scored from."""
    return run_of(wildcards, INFERRED_AS[wildcards.variant]).maps


def foreground_of(wildcards):
    """Return where the synthetic anomalies of a category may lie."""
    return foreground_source(SETTINGS.datasets[wildcards.dataset], wildcards.category)


@cache
def is_made(run, stage, epoch=None):
    """Return whether the run's checkpoint or maps (of an epoch) are here and are what the settings ask for."""
    if stage == "train":
        return RESULTS.trained(run)
    return is_made(shared_run(SETTINGS, "train", run), "train") and RESULTS.inferred(run, epoch)


# The images are asked for only by jobs that will run. An edge from data to a finished training would let Snakemake
# repeat that training whenever the images have to be fetched again for another one; the manifest tells whether the
# images are still the same. Such conditional inputs need the rerun trigger "input" off: see profiles/default.
def images_to_train(wildcards):
    """Return the packed images and textures, unless the checkpoint is there already."""
    if is_made(run_of(wildcards), "train"):
        return []
    return [f"data/packed/{wildcards.dataset}/{wildcards.category}/pack.json", "data/packed/textures/pack.json"]


def images_to_infer(wildcards):
    """Return the packed images, unless the maps are there already."""
    if is_made(run_of(wildcards), "infer", wildcards.get("epoch")):
        return []
    return [f"data/packed/{wildcards.dataset}/{wildcards.category}/pack.json"]
