# From maps to numbers. A sweep is scored from the maps of a variant and never trains or infers again.

SCORES = per_run(f"results/metrics/{RUN}/scores.csv", VARIANTS)
SWEEPS = per_run(f"results/metrics/{RUN}/sweep.csv", SETTINGS.run.sweep_variants)
EPOCHS = per_epoch(f"results/metrics/{RUN}/epoch{{epoch}}/scores.csv")


localrules:
    metrics,
    gather_metrics,


rule metrics:
    """All scores of all runs in one table."""
    input:
        "results/metrics.csv",
        "results/metrics.json",


rule score_maps:
    """Image AUROC, AUPRO and their intervals for one run."""
    input:
        maps=lambda wildcards: ancient(maps_of(wildcards)),
        record=lambda wildcards: maps_of(wildcards).with_name("run.json"),
    output:
        scores=f"results/metrics/{RUN}/scores.csv",
        source=f"results/metrics/{RUN}/scores.json",
    log:
        f"logs/score_maps/{RUN}.log",
    benchmark:
        f"logs/benchmarks/score_maps/{RUN}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        settings=settings_of("score"),
        source=lambda wildcards: str(maps_of(wildcards)),  # a variant that comes to share another's maps is scored again
    shell:
        r"""
        python -m tfcore score-run --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} --params {PARAMS:q} >{log:q} 2>&1
        """


rule score_epoch:
    """Scores of weights kept during training (train.keep_epochs), for Tables 8 and 9."""
    input:
        maps=ancient(f"results/maps/{RUN}/epoch{{epoch}}/maps.safetensors"),
        record=f"results/maps/{RUN}/epoch{{epoch}}/run.json",
    output:
        scores=f"results/metrics/{RUN}/epoch{{epoch}}/scores.csv",
        source=f"results/metrics/{RUN}/epoch{{epoch}}/scores.json",
    log:
        f"logs/score_epoch{{epoch}}/{RUN}.log",
    benchmark:
        f"logs/benchmarks/score_epoch{{epoch}}/{RUN}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        settings=settings_of("score"),
    shell:
        r"""
        python -m tfcore score-run --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} --epoch {wildcards.epoch} \
            --params {PARAMS:q} >{log:q} 2>&1
        """


rule sweep_maps:
    """Scores of one run over λ, filter sizes and single masks."""
    input:
        maps=lambda wildcards: ancient(maps_of(wildcards)),
        record=lambda wildcards: maps_of(wildcards).with_name("run.json"),
    output:
        sweep=f"results/metrics/{RUN}/sweep.csv",
        source=f"results/metrics/{RUN}/sweep.json",
    log:
        f"logs/sweep_maps/{RUN}.log",
    benchmark:
        f"logs/benchmarks/sweep_maps/{RUN}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        settings=settings_of("sweep"),
        source=lambda wildcards: str(maps_of(wildcards)),  # a variant that comes to share another's maps is scored again
    shell:
        r"""
        python -m tfcore sweep-run --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} --params {PARAMS:q} >{log:q} 2>&1
        """


rule gather_metrics:
    """One long table of all scores, with averages; everything below reads only this and the published numbers."""
    input:
        SCORES,
        SWEEPS,
        EPOCHS,
    output:
        table="results/metrics.csv",
        summary="results/metrics.json",
    log:
        "logs/gather_metrics.log",
    benchmark:
        "logs/benchmarks/gather_metrics.tsv"
    params:
        files=digest([*SCORES, *SWEEPS, *EPOCHS]),
        recipe=STAGES["score"][BASELINE]["recipe"],
    shell:
        r"""
        python -m tfcore gather --files-from {GATHERED:q} --out {output.table:q} --out-json {output.summary:q} \
            --params {PARAMS:q} >{log:q} 2>&1
        """


GATHERED = listed([*SCORES, *SWEEPS, *EPOCHS])
