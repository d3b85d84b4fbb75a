# Contact sheets of what the network is trained on; they need the packed images.


localrules:
    galleries,
    anomaly_gallery,
    foreground_gallery,


def gallery_images(wildcards):
    """Return the packed images and textures, unless the picture and its run's checkpoint are there already."""
    run = Run(wildcards.dataset, wildcards.category, TRAINED_AS[BASELINE], SEEDS[0])
    file = Path(f"results/figures/{wildcards.kind}/{wildcards.dataset}_{wildcards.category}.png")
    made = file.exists() and is_made(run, "train")
    return (
        [] if made else [str(packed_folder(run.dataset, run.category) / "pack.json"), "data/packed/textures/pack.json"]
    )


rule draw_gallery:
    """Synthetic anomalies, or foregrounds, of a category: what the network is trained on."""
    input:
        gallery_images,
    output:
        report(
            "results/figures/{kind}/{dataset}_{category}.png",
            caption="../report/gallery.rst",
            category="Figures",
            labels={"figure": "{kind}", "dataset": "{dataset}", "category": "{category}"},
        ),
    log:
        "logs/draw_gallery/{kind}/{dataset}_{category}.log",
    benchmark:
        "logs/benchmarks/draw_gallery/{kind}/{dataset}_{category}.tsv"
    wildcard_constraints:
        kind="anomalies|foregrounds",
        dataset="|".join(re.escape(name) for name in DATASETS),
    resources:
        mem_mb=4000,
    params:
        settings=as_params(STAGES["train"][BASELINE]["anomalies"]),
    shell:
        r"""
        python -m tfcore gallery {wildcards.kind} --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {BASELINE:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule anomaly_gallery:
    """A contact sheet of 32 synthetic anomalies of every category."""
    input:
        per_category("results/figures/anomalies/{dataset}_{category}.png"),


rule foreground_gallery:
    """A contact sheet of the foregrounds in 16 images of every category."""
    input:
        per_category("results/figures/foregrounds/{dataset}_{category}.png"),


rule galleries:
    """What the network is trained on: both contact sheets of every category."""
    input:
        rules.anomaly_gallery.input,
        rules.foreground_gallery.input,
