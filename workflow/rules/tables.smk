# The paper's tables, measured beside published, each as Markdown, LaTeX and CSV.


localrules:
    make_table,


rule tables:
    """Tables 1-9, and one for every dataset that no numbered table shows."""
    input:
        [files_of(f"table{number}") for number in TABLES],
        [files_of(f"table_{dataset}") for dataset in further_datasets(SETTINGS)],


for number in TABLES:

    rule:
        """One of the paper's tables."""
        name:
            f"table{number}"
        input:
            files_of(f"table{number}"),


rule make_table:
    """One table of the paper, or all measured numbers of a dataset that the paper does not have."""
    input:
        scores=lambda wildcards: scores_of(wildcards.table),
        timing=lambda wildcards: [TIMING] if wildcards.table == "table5" else [],
    output:
        *table_files("{table}"),
        report(
            "results/tables/{table}.md",
            caption="../report/table.rst",
            category="Tables",
            labels=labels_of,
        ),
    log:
        "logs/make_table/{table}.log",
    benchmark:
        "logs/benchmarks/make_table/{table}.tsv"
    wildcard_constraints:
        table="|".join([r"table\d", *(re.escape(f"table_{name}") for name in DATASETS)]),
    params:
        settings=as_params(selected() | BESIDE),
        files=lambda wildcards: listed(scores_of(wildcards.table)),
        labels=labels_of,
    shell:
        r"""
        python -m tfcore tables {wildcards.table:q} --files-from {params.files:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule time_inference:
    """Seconds per image on this device, over numbers of timesteps and batch sizes (Table 5)."""
    input:
        model_to_time,
    output:
        TIMING,
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
        settings=as_params(timed_settings()),
    shell:
        r"""
        python -m tfcore time-inference --checkpoint {SHOWN.checkpoint:q} --out {output:q} --params {PARAMS:q} \
            >{log:q} 2>&1
        """


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
