# Training: one job per category, variant and seed; the only jobs that cost GPU-hours.

from snakemake_interface_executor_plugins.settings import ExecMode


localrules:
    checkpoints,


def refuse_paper_scale():
    """Refuse trainings that a CPU would never end, before data are fetched for them; raises `UserError`."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "train_model"]
    if not jobs or SETTINGS.hardware.device != "auto":
        return
    import torch  # takes seconds, as do some of these

    from tfcore.methods.transfusion.settings import TrainingSettings
    from tfcore.operations.plan import image_counts
    from tfcore.operations.cpu_guard import check_scale

    if torch.cuda.is_available():
        return
    for job in jobs:
        counts = image_counts(SETTINGS, job.wildcards.dataset, job.wildcards.category)
        if counts is not None:  # else the training itself asks
            check_scale(TrainingSettings.model_validate(STAGES["train"][job.wildcards.variant]), counts[0])


onstart:
    # Jobs of a cluster find their GPU on the node; a job's own Snakemake (another mode) was asked already.
    if workflow.local_exec and not workflow.touch and workflow.exec_mode == ExecMode.DEFAULT:
        with one_line_errors():
            refuse_paper_scale()


rule checkpoints:
    """The checkpoint of every category, variant and seed."""
    input:
        per_run(f"results/checkpoints/{RUN}/model.safetensors", VARIANTS, TRAINED_AS),


# `run.json` has the sha256 of the weights and stands for them in everything that follows, so that Snakemake never
# has to read gigabytes to see that nothing changed.
rule train_model:
    """Train the three heads on normal images and synthetic anomalies."""
    input:
        manifest="data/manifests/{dataset}/{category}.csv",
        images=images_to_train,
    output:
        # update(): not deleted before the job starts. A job that outlived its Snakemake may have finished meanwhile;
        # the stage sees that its result is there and does not train again.
        model=update(f"results/checkpoints/{RUN}/model.safetensors"),
        record=update(f"results/checkpoints/{RUN}/run.json"),
        losses=update(f"results/checkpoints/{RUN}/log.csv"),
    log:
        f"logs/train_model/{RUN}.log",
    benchmark:
        f"logs/benchmarks/train_model/{RUN}.tsv"
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
