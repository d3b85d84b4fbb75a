# Inference: the maps of a category's test images, from which everything is scored.


def per_epoch(pattern):
    """Return the pattern's path for every kept epoch of the baseline's runs, for Tables 8 and 9."""
    epochs = STAGES["train"][BASELINE]["train"]["keep_epochs"]
    return [path for epoch in epochs for path in per_run(pattern.replace("{epoch}", str(epoch)), [BASELINE])]


localrules:
    maps,


rule infer_maps:
    """Run the reverse process on the test images and keep the maps."""
    input:
        model=lambda wildcards: ancient(checkpoint_of(wildcards)),
        record=lambda wildcards: checkpoint_of(wildcards).with_name("run.json"),
        images=images_to_infer,
    output:
        maps=f"results/maps/{RUN}/maps.safetensors",
        record=f"results/maps/{RUN}/run.json",
    log:
        f"logs/infer_maps/{RUN}.log",
    benchmark:
        f"logs/benchmarks/infer_maps/{RUN}.tsv"
    threads: 4
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings_of("infer"),
        source=lambda wildcards: str(checkpoint_of(wildcards)),  # as in score_maps
        epoch="",
    shell:
        r"""
        python -m tfcore infer --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} {params.epoch} --params {PARAMS:q} >{log:q} 2>&1
        """


use rule infer_maps as infer_epoch with:
    # The maps of weights kept during training (train.keep_epochs), for Tables 8 and 9.
    input:
        model=lambda wildcards: ancient(checkpoint_of(wildcards)),
        record=lambda wildcards: checkpoint_of(wildcards).with_name("run.json"),
        images=images_to_infer,
    output:
        maps=f"results/maps/{RUN}/epoch{{epoch}}/maps.safetensors",
        record=f"results/maps/{RUN}/epoch{{epoch}}/run.json",
    log:
        f"logs/infer_epoch{{epoch}}/{RUN}.log",
    benchmark:
        f"logs/benchmarks/infer_epoch{{epoch}}/{RUN}.tsv"
    params:
        settings=settings_of("infer"),
        epoch=lambda wildcards: f"--epoch {wildcards.epoch}",


rule maps:
    """The maps of every category, variant and seed, and of the epochs kept."""
    input:
        per_run(f"results/maps/{RUN}/maps.safetensors", VARIANTS, INFERRED_AS),
        per_epoch(f"results/maps/{RUN}/epoch{{epoch}}/maps.safetensors"),
