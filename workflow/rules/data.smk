# From archives to packed images. Downloads run where Snakemake runs: compute nodes often have no internet.


localrules:
    make_demo_data,
    fetch_dataset,
    fetch_textures,


rule data:
    """All selected categories and the textures: fetched, checked and packed."""
    input:
        [pack_of(run) for run in CATEGORIES],
        PACKED_TEXTURES,


rule make_demo_data:
    """Draw the demo's two small datasets and its textures."""
    output:
        "data/demo/made.json",
    log:
        "logs/make_demo_data.log",
    benchmark:
        "logs/benchmarks/make_demo_data.tsv"
    threads: 4
    shell:
        r"""
        python -m tfcore demo-data --out data/demo >{log:q} 2>&1
        echo '{{}}' >{output:q}
        """


rule fetch_dataset:
    """Download and unpack a dataset, or note where the local copy lies."""
    input:
        lambda wildcards: demo_data(SETTINGS.datasets[wildcards.dataset]),
        changed_source,
    output:
        "data/raw/{dataset}.json",
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "logs/benchmarks/fetch_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=r"(?!textures\.json)[^/]+",
    shell:
        r"""
        python -m tfcore fetch --dataset {wildcards.dataset:q} --params {PARAMS:q} 2>&1 | tee {log:q}
        """


rule fetch_textures:
    """Download and unpack the textures, or note where the local copy lies."""
    input:
        demo_data(SETTINGS.textures),
        lambda wildcards: content_of_textures(),
    output:
        "data/raw/textures.json",
    log:
        "logs/fetch_textures.log",
    benchmark:
        "logs/benchmarks/fetch_textures.tsv"
    shell:
        r"""
        python -m tfcore fetch --textures --params {PARAMS:q} 2>&1 | tee {log:q}
        """


# A manifest that exists is not made again because the data were fetched again; packing compares the two.
# Data changed on purpose: snakemake --forcerun check_category -- data
rule check_category:
    """Compare a category with what it should be, and list its files with their sha256."""
    input:
        raw_to_check,
    output:
        ANY.manifest,
    log:
        "logs/check_category/{dataset}/{category}.log",
    benchmark:
        "logs/benchmarks/check_category/{dataset}/{category}.tsv"
    priority: 2  # before trainings, which wait for it
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        layout=lambda wildcards: SETTINGS.datasets[wildcards.dataset].layout,
    shell:
        r"""
        python -m tfcore check-data {wildcards.dataset:q} --category {wildcards.category:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule check_data:
    """All selected categories compared with what they should be."""
    input:
        [run.manifest for run in CATEGORIES],


rule pack_category:
    """Decode and resize a category's images and masks once."""
    input:
        manifest=ANY.manifest,
        raw=lambda wildcards: ([] if is_packed(wildcards) else f"data/raw/{wildcards.dataset}.json"),
    output:
        pack_of(ANY),
    log:
        "logs/pack_category/{dataset}/{category}.log",
    benchmark:
        "logs/benchmarks/pack_category/{dataset}/{category}.tsv"
    priority: 2  # before trainings, which wait for it
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=as_params(stage_settings(SETTINGS, "pack")),
        foreground=foreground_of,
    shell:
        r"""
        python -m tfcore pack --dataset {wildcards.dataset:q} --category {wildcards.category:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


rule pack_textures:
    """Decode and resize the textures once."""
    input:
        "data/raw/textures.json",
    output:
        PACKED_TEXTURES,
    log:
        "logs/pack_textures.log",
    benchmark:
        "logs/benchmarks/pack_textures.tsv"
    priority: 2  # before trainings, which wait for it
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=as_params(SETTINGS.textures.model_dump(mode="json", include={"size", "limit"})),
        version=stage_settings(SETTINGS, "pack")["version"],
    shell:
        r"""
        python -m tfcore pack-textures --params {PARAMS:q} >{log:q} 2>&1
        """
