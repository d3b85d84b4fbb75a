# Training: one job per category, variant and seed; the only jobs that cost GPU-hours.


onstart:
    # Jobs of a cluster find their GPU on the node; a job's own Snakemake (another mode) was asked already.
    if workflow.local_exec and not workflow.touch and workflow.exec_mode == ExecMode.DEFAULT:
        with one_line_errors():
            refuse_paper_scale()


rule checkpoints:
    """The checkpoint of every category, variant and seed."""
    input:
        needed_files("checkpoints", "train"),


# `run.json` has the sha256 of the weights and stands for them in everything that follows, so that Snakemake never
# has to read gigabytes to see that nothing changed.
rule train_model:
    """Train a method on a category's normal images."""
    input:
        manifest=ANY.manifest,
        images=images_to_train,
    output:
        # update(): not deleted before the job starts. A job that outlived its Snakemake may have finished meanwhile;
        # the stage sees that its result is there and does not train again.
        model=update(ANY.checkpoint),
        record=update(record_of(ANY.checkpoint)),
        losses=update(ANY.losses),
    log:
        f"logs/train_model/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/train_model/{ANY.id}.tsv"
    priority: 1  # the longest jobs first: one that starts last would keep everybody waiting
    threads: 4
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        settings=settings_of("train"),
        foreground=foreground_of,
    shell:
        r"""
        python -m tfcore train --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} --params {PARAMS:q} >{log:q} 2>&1
        """
