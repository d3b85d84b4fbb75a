# The paper's tables, measured beside published, each as Markdown, LaTeX and CSV.

from tfcore import TABLE_RECIPE
from tfcore.paper.numbers import published_digest
from tfcore.runs.needed import PLACES, dataset_for, further_datasets, needed_by, reported_variants

TABLES = range(1, 10)
SELECTED = SETTINGS.model_dump(mode="json", by_alias=True, include={"tables", "run"}) | {
    "datasets": {
        name: SETTINGS.datasets[name].model_dump(include={"title", "layout", "published", "categories"})
        for name in DATASETS
    },
    "variants": SETTINGS.variants,
    "epochs": STAGES["train"][BASELINE]["train"]["epochs"],
}
BESIDE = {"recipe": TABLE_RECIPE, "published": published_digest()}  # what tables and the page are made of beside scores
TABLE_SETTINGS = SELECTED | BESIDE
FURTHER = further_datasets(SETTINGS)


def reported(*datasets):
    """Return the scores of what the tables report on these datasets."""
    return per_run(f"results/metrics/{RUN}/scores.csv", reported_variants(SETTINGS), datasets=datasets)


PLACE = {str(number): dataset_for(SETTINGS, name) for number, name in PLACES.items()}


def scores_of(number):
    """Return the scores that a table shows, and no more: asking for one makes no run that it does not stand on."""
    needed = needed_by(SETTINGS, [f"table{number}"])
    kept = STAGES["train"][BASELINE]["train"]["keep_epochs"]
    files = [run.scores for run in needed.scored] + [run.sweep for run in needed.swept]
    return [str(file) for file in files + [run.scores_at(epoch) for epoch in kept for run in needed.kept]]


SCORES_OF = {str(number): scores_of(number) for number in TABLES}
LABELS = {
    "1": "image AUROC",
    "2": "image AUROC",
    "3": "detection and localisation",
    "4": "ablations",
    "5": "inference time",
    "6": "AUPRO",
    "7": "AUPRO",
    "8": "best epoch",
    "9": "best epoch",
}


def table_files(table):
    """Return every file of a table but its Markdown."""
    return [f"results/tables/{table}{ending}" for ending in (".csv", ".tex", "_intervals.md", "_intervals.tex")]


def files_of(table):
    """Return every file of a table. Targets ask for all of them: Snakemake makes anew only what is asked for."""
    return [f"results/tables/{table}.md", *table_files(table)]


def title_of(number):
    """Return the name of the one dataset that a table shows; empty for tables of all."""
    place = PLACE.get(number)
    return SETTINGS.datasets[place].title if place else PLACES.get(int(number), "")


def labels_of(wildcards):
    """Return a table's labels in Snakemake's report."""
    title = title_of(wildcards.number)
    return {"table": wildcards.number, "shows": LABELS[wildcards.number], "dataset": title or "all"}


localrules:
    make_dataset_table,
    make_table,
    tables,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    table7,
    table8,
    table9,


TIMED = SETTINGS.tables.model_dump(include={"inference_steps", "inference_batches"}) | {
    "model": STAGES["train"][BASELINE]["model"],
    "diffusion": STAGES["train"][BASELINE]["diffusion"],
    "crop": STAGES["train"][BASELINE]["data"]["crop"],
}

TIMED_MODEL = str(SHOWN.checkpoint)


# The weights do not matter for the time, so a checkpoint that is there is no input: when another run is shown, the times
# of the device that they were measured on stay.
def model_to_time(wildcards):
    """Return the checkpoint, unless it is there already."""
    return [] if is_made(SHOWN, "train") else [TIMED_MODEL]


rule make_table:
    """One table of the paper."""
    input:
        scores=lambda wildcards: SCORES_OF[wildcards.number],
        timing=lambda wildcards: ["results/timing.csv"] if wildcards.number == "5" else [],
    output:
        *table_files("table{number}"),
        report(
            "results/tables/table{number}.md",
            caption="../report/table.rst",
            category="Tables",
            labels=labels_of,
        ),
    log:
        "logs/make_table/{number}.log",
    benchmark:
        "logs/benchmarks/make_table/{number}.tsv"
    params:
        settings=as_params(TABLE_SETTINGS),
        files=lambda wildcards: listed(SCORES_OF[wildcards.number]),
        title=lambda wildcards: title_of(wildcards.number),
    shell:
        r"""
        python -m tfcore tables --number {wildcards.number} --files-from {params.files:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule time_inference:
    """Seconds per image on this device, over numbers of timesteps and batch sizes (Table 5)."""
    input:
        model_to_time,
    output:
        "results/timing.csv",
    log:
        "logs/time_inference.log",
    benchmark:
        "logs/benchmarks/time_inference.tsv"
    threads: 4
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=as_params(TIMED),
    shell:
        r"""
        python -m tfcore time-inference --checkpoint {TIMED_MODEL:q} --out {output:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule make_dataset_table:
    """Every measured number of a dataset that the paper does not have."""
    input:
        lambda wildcards: reported(wildcards.dataset),
    output:
        *table_files("table_{dataset}"),
        report(
            "results/tables/table_{dataset}.md",
            caption="../report/dataset_table.rst",
            category="Tables",
            labels={"table": "further", "shows": "image AUROC and AUPRO", "dataset": "{dataset}"},
        ),
    log:
        "logs/make_table/{dataset}.log",
    benchmark:
        "logs/benchmarks/make_table/{dataset}.tsv"
    wildcard_constraints:
        dataset="|".join(re.escape(name) for name in DATASETS),
    params:
        settings=as_params(TABLE_SETTINGS),
        files=lambda wildcards: listed(reported(wildcards.dataset)),
    shell:
        r"""
        python -m tfcore tables --dataset {wildcards.dataset:q} --files-from {params.files:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule tables:
    """Tables 1-9, and one for every dataset that no numbered table shows."""
    input:
        [files_of(f"table{number}") for number in TABLES],
        [files_of(f"table_{dataset}") for dataset in FURTHER],


rule table1:
    """Image AUROC per category on VisA."""
    input:
        files_of("table1"),


rule table2:
    """Image AUROC per category on MVTec AD."""
    input:
        files_of("table2"),


rule table3:
    """Detection and localisation on both datasets."""
    input:
        files_of("table3"),


rule table4:
    """Ablations: inputs, losses, masks, steps, schedules."""
    input:
        files_of("table4"),


rule table5:
    """Seconds per image."""
    input:
        files_of("table5"),


rule table6:
    """AUPRO per category on VisA."""
    input:
        files_of("table6"),


rule table7:
    """AUPRO per category on MVTec AD."""
    input:
        files_of("table7"),


rule table8:
    """Image AUROC on VisA at the best epoch of each category, chosen on the test set."""
    input:
        files_of("table8"),


rule table9:
    """Image AUROC on MVTec AD at the best epoch of each category, chosen on the test set."""
    input:
        files_of("table9"),


def scores_so_far():
    """Return the score files that are there and are what the settings ask for, and those that are there but are not."""
    needed, kept = needed_by(SETTINGS, ["metrics"]), STAGES["train"][BASELINE]["train"]["keep_epochs"]
    current = {run.scores: RESULTS.scored(run) for run in needed.scored}
    current |= {run.sweep: RESULTS.swept(run) for run in needed.swept}
    current |= {run.scores_at(epoch): RESULTS.scored(run, epoch) for epoch in kept for run in needed.kept}
    return [file for file in current if current[file]], [
        file for file in current if file.exists() and not current[file]
    ]


rule tables_so_far:
    """All tables from what is there already, into results/so_far; empty cells for the rest."""
    log:
        "logs/tables_so_far.log",
    params:
        files=lambda wildcards: listed(scores_so_far()[0]),
        others=lambda wildcards: len(scores_so_far()[1]),
    shell:
        r"""
        test {params.others} = 0 || echo "note: left out, as made with other settings: {params.others} score files"
        python -m tfcore gather --files-from {params.files:q} --out results/so_far/metrics.csv \
            --out-json results/so_far/metrics.json --params {PARAMS:q} >{log:q} 2>&1
        python -m tfcore tables --metrics results/so_far/metrics.csv --out results/so_far --params {PARAMS:q} \
            >>{log:q} 2>&1
        """
