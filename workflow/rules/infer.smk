# Inference: the anomaly maps of a category's test images, from which everything is scored.


rule infer_maps:
    """Run a trained method on the test images and keep its anomaly maps."""
    input:
        model=lambda wildcards: ancient(source_of("infer")(wildcards)),
        record=source_of("infer", "record"),
        images=images_to_infer,
    output:
        maps=ANY.maps,
        record=record_of(ANY.maps),
    log:
        f"logs/infer_maps/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/infer_maps/{ANY.id}.tsv"
    threads: 4
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings_of("infer"),
        source=source_of("infer"),  # as in score_maps
        epoch="",
    shell:
        r"""
        python -m tfcore infer --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {wildcards.variant:q} --seed {wildcards.seed} {params.epoch} --params {PARAMS:q} >{log:q} 2>&1
        """


use rule infer_maps as infer_epoch with:
    # The anomaly maps of intermediate checkpoints (tables.checkpoint_epochs), for Tables 8 and 9.
    output:
        maps=ANY.maps_at("{epoch}"),
        record=record_of(ANY.maps_at("{epoch}")),
    log:
        f"logs/infer_epoch{{epoch}}/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/infer_epoch{{epoch}}/{ANY.id}.tsv"
    params:
        settings=settings_of("infer"),
        epoch=lambda wildcards: f"--epoch {wildcards.epoch}",


rule maps:
    """The anomaly maps of every category, variant and seed, and of the intermediate checkpoints."""
    input:
        needed_files("maps", "infer"),
