# The authors' released checkpoints through the same inference, scores and tables, into results/release.
# snakemake --cores all --config 'run={release: FOLDER}' -- release_tables

RELEASE_SEED = 3  # the released training script's


localrules:
    release_tables,
    convert_release,


ruleorder: convert_release > train_model


def released_file(dataset, category):
    """Return the authors' file of a category, FOLDER/DATASET/NAME or FOLDER/NAME; nothing where there is none."""
    if SETTINGS.run.release is None:
        return []
    folder = Path(SETTINGS.run.release)
    files = [folder / dataset / f"{category}_model.pkl", folder / f"{category}_model.pkl"]
    return [str(file) for file in files if file.exists()][:1]


RELEASED = [(dataset, category) for dataset, category in CATEGORIES if released_file(dataset, category)]
RELEASE_SCORES = [
    f"results/metrics/{dataset}/{category}/release/seed{RELEASE_SEED}/scores.csv" for dataset, category in RELEASED
]


rule convert_release:
    """One of the authors' checkpoints in this program's format."""
    input:
        lambda wildcards: released_file(wildcards.dataset, wildcards.category),
    output:
        model=f"results/checkpoints/{{dataset}}/{{category}}/release/seed{RELEASE_SEED}/model.safetensors",
        record=f"results/checkpoints/{{dataset}}/{{category}}/release/seed{RELEASE_SEED}/run.json",
    log:
        "logs/convert_release/{dataset}/{category}.log",
    benchmark:
        "logs/benchmarks/convert_release/{dataset}/{category}.tsv"
    params:
        steps=SETTINGS.diffusion.steps,
        size=SETTINGS.data.resize,
    shell:
        r"""
        python -m tfcore convert-release {input:q} --out "$(dirname {output.model:q})" \
            --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --steps {params.steps} --size {params.size} >{log:q} 2>&1
        """


rule release_tables:
    """The tables as the authors' released checkpoints give them here (run.release names their folder)."""
    input:
        RELEASE_SCORES,
    log:
        "logs/release_tables.log",
    params:
        files=listed(RELEASE_SCORES),
        folder=SETTINGS.run.release or "null",
        settings=written_settings(only_variant(SETTINGS, "release", RELEASE_SEED)) if RELEASED else "",
    shell:
        r"""
        folder={params.folder:q}
        test -s {params.files:q} || {{ echo "error: run.release: no <category>_model.pkl in $folder" | tee {log:q}; exit 1; }}
        python -m tfcore gather --files-from {params.files:q} --out results/release/metrics.csv \
            --out-json results/release/metrics.json --params {params.settings:q} >{log:q} 2>&1
        python -m tfcore tables --metrics results/release/metrics.csv --out results/release/tables \
            --params {params.settings:q} >>{log:q} 2>&1
        """
