# Contact sheets of what a method is trained on; they need the packed images.


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
        settings=as_params(stage_settings(SETTINGS, "train", BASELINE).get("anomalies")),
    shell:
        r"""
        python -m tfcore gallery {wildcards.kind} --dataset {wildcards.dataset:q} --category {wildcards.category:q} \
            --variant {BASELINE:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule anomaly_gallery:
    """A contact sheet of 32 synthetic anomalies of every category."""
    input:
        [f"results/figures/anomalies/{run.dataset}_{run.category}.png" for run in CATEGORIES],


rule foreground_gallery:
    """A contact sheet of the foregrounds in 16 images of every category."""
    input:
        [f"results/figures/foregrounds/{run.dataset}_{run.category}.png" for run in CATEGORIES],


rule galleries:
    """What the network is trained on: both contact sheets of every category."""
    input:
        rules.anomaly_gallery.input,
        rules.foreground_gallery.input,
