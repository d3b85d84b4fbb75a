# From anomaly maps to numbers. A sweep is scored from the maps of a variant and never trains or infers again.


localrules:
    gather_metrics,


rule metrics:
    """All scores of all runs in one table."""
    input:
        METRICS,
        METRICS.with_suffix(".json"),


rule score_maps:
    """Image AUROC, AUPRO and their intervals for one run, and the score of every test image."""
    input:
        maps=lambda wildcards: ancient(source_of("score")(wildcards)),
        record=source_of("score", "record"),
    output:
        scores=ANY.scores,
        images=ANY.images,
        source=record_of(ANY.scores),
    log:
        f"logs/score_maps/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/score_maps/{ANY.id}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        settings=settings_of("score"),
        source=source_of("score"),  # a variant that comes to share another's maps is scored again
        epoch="",
    shell:
        r"""
        python -m tfcore score-run --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} {params.epoch} --params {PARAMS:q} >{log:q} 2>&1
        """


use rule score_maps as score_epoch with:
    # Scores of intermediate checkpoints (tables.checkpoint_epochs), for Tables 8 and 9.
    output:
        scores=ANY.scores_at("{epoch}"),
        images=ANY.scores_at("{epoch}").with_name("images.csv"),
        source=record_of(ANY.scores_at("{epoch}")),
    log:
        f"logs/score_epoch{{epoch}}/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/score_epoch{{epoch}}/{ANY.id}.tsv"
    params:
        settings=settings_of("score"),
        epoch=lambda wildcards: f"--epoch {wildcards.epoch}",


rule sweep_maps:
    """Scores of one run at every sweep point of its method."""
    input:
        maps=lambda wildcards: ancient(source_of("sweep")(wildcards)),
        record=source_of("sweep", "record"),
    output:
        sweep=ANY.sweep,
        source=record_of(ANY.sweep),
    log:
        f"logs/sweep_maps/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/sweep_maps/{ANY.id}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        settings=settings_of("sweep"),
        source=source_of("sweep"),  # a variant that comes to share another's maps is scored again
    shell:
        r"""
        python -m tfcore sweep-run --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} --params {PARAMS:q} >{log:q} 2>&1
        """


rule gather_metrics:
    """One long table of all scores, with averages; everything below reads only this and the published numbers."""
    input:
        needed_files("metrics", "score", "sweep"),
    output:
        table=METRICS,
        summary=METRICS.with_suffix(".json"),
    log:
        "logs/gather_metrics.log",
    benchmark:
        "logs/benchmarks/gather_metrics.tsv"
    params:
        files=listed(needed_files("metrics", "score", "sweep")),
        version=stage_settings(SETTINGS, "score", BASELINE)["version"],
    shell:
        r"""
        python -m tfcore gather --files-from {params.files:q} --out {output.table:q} --out-json {output.summary:q} \
            --params {PARAMS:q} >{log:q} 2>&1
        """
