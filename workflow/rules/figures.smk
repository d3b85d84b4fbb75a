# Figures, each as PNG and SVG with its data as CSV beside it. They draw the baseline's runs with the first seed.

SHOWN_MAPS = f"results/maps/{{dataset}}/{{category}}/{INFERRED_AS[BASELINE]}/seed{SEEDS[0]}"
SHOWN_LOSSES = f"results/checkpoints/{{dataset}}/{{category}}/{TRAINED_AS[BASELINE]}/seed{SEEDS[0]}/log.csv"
FIGURE_KINDS = ["png", "svg", "csv"]
SWEEP_SETTINGS = TABLE_SETTINGS | {"shown": STAGES["score"][BASELINE]["score"]}  # λ and kernel are drawn as lines


localrules:
    figures,
    galleries,
    anomaly_gallery,
    foreground_gallery,


def of_dataset(pattern):
    """Return an input function: the pattern's path for every category of the job's dataset."""
    return lambda wildcards: [
        pattern.format(dataset=wildcards.dataset, category=category)
        for category in SETTINGS.datasets[wildcards.dataset].categories
    ]


def images_to_draw(run, file):
    """Return the packed images and textures, unless the picture and its run's checkpoint are there already."""
    made = Path(file).exists() and is_made(run, "train")
    return (
        [] if made else [str(packed_folder(run.dataset, run.category) / "pack.json"), "data/packed/textures/pack.json"]
    )


def gallery_images(wildcards):
    """Return what a gallery is drawn from."""
    run = Run(wildcards.dataset, wildcards.category, TRAINED_AS[BASELINE], SEEDS[0])
    file = f"results/figures/{wildcards.kind}/{wildcards.dataset}_{wildcards.category}.png"
    return images_to_draw(run, file)


rule plot_lambda_sweep:
    """Weight of the discriminative map, λ (Fig. 7), from the metrics alone."""
    input:
        "results/metrics.csv",
    output:
        report(
            "results/figures/lambda_sweep.png",
            caption="../report/lambda_sweep.rst",
            category="Figures",
            labels={"figure": "λ sweep", "dataset": "all"},
        ),
        "results/figures/lambda_sweep.svg",
        "results/figures/lambda_sweep.csv",
    log:
        "logs/plot_lambda_sweep.log",
    benchmark:
        "logs/benchmarks/plot_lambda_sweep.tsv"
    params:
        settings=as_params(SWEEP_SETTINGS),
    shell:
        r"""
        python -m tfcore figure lambda_sweep --metrics {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_kernel_sweep:
    """Side of the mean filter (Fig. 8), from the metrics alone."""
    input:
        "results/metrics.csv",
    output:
        report(
            "results/figures/kernel_sweep.png",
            caption="../report/kernel_sweep.rst",
            category="Figures",
            labels={"figure": "kernel sweep", "dataset": "all"},
        ),
        "results/figures/kernel_sweep.svg",
        "results/figures/kernel_sweep.csv",
    log:
        "logs/plot_kernel_sweep.log",
    benchmark:
        "logs/benchmarks/plot_kernel_sweep.tsv"
    params:
        settings=as_params(SWEEP_SETTINGS),
    shell:
        r"""
        python -m tfcore figure kernel_sweep --metrics {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_losses:
    """Loss terms by epoch, a panel per category."""
    input:
        of_dataset(SHOWN_LOSSES),
    output:
        report(
            "results/figures/losses_{dataset}.png",
            caption="../report/losses.rst",
            category="Figures",
            labels={"figure": "losses", "dataset": "{dataset}"},
        ),
        "results/figures/losses_{dataset}.svg",
        "results/figures/losses_{dataset}.csv",
    log:
        "logs/plot_losses/{dataset}.log",
    benchmark:
        "logs/benchmarks/plot_losses/{dataset}.tsv"
    params:
        shown=of_dataset(SHOWN_LOSSES),
    shell:
        r"""
        python -m tfcore figure losses --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_reconstructions:
    """An anomalous image of each category with its reconstruction (Fig. 5)."""
    input:
        maps=lambda wildcards: ancient(of_dataset(f"{SHOWN_MAPS}/maps.safetensors")(wildcards)),
        records=of_dataset(f"{SHOWN_MAPS}/run.json"),
    output:
        report(
            "results/figures/reconstructions_{dataset}.png",
            caption="../report/reconstructions.rst",
            category="Figures",
            labels={"figure": "reconstructions", "dataset": "{dataset}"},
        ),
        "results/figures/reconstructions_{dataset}.svg",
        "results/figures/reconstructions_{dataset}.csv",
    log:
        "logs/plot_reconstructions/{dataset}.log",
    benchmark:
        "logs/benchmarks/plot_reconstructions/{dataset}.tsv"
    resources:
        mem_mb=4000,
    params:
        settings=as_params(STAGES["score"][BASELINE]),
        shown=of_dataset(SHOWN_MAPS),
    shell:
        r"""
        python -m tfcore figure reconstructions --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_failures:
    """The worst failures of each category, chosen by a rule (Fig. 6)."""
    input:
        maps=lambda wildcards: ancient(of_dataset(f"{SHOWN_MAPS}/maps.safetensors")(wildcards)),
        records=of_dataset(f"{SHOWN_MAPS}/run.json"),
    output:
        report(
            "results/figures/failures_{dataset}.png",
            caption="../report/failures.rst",
            category="Figures",
            labels={"figure": "failures", "dataset": "{dataset}"},
        ),
        "results/figures/failures_{dataset}.svg",
        "results/figures/failures_{dataset}.csv",
    log:
        "logs/plot_failures/{dataset}.log",
    benchmark:
        "logs/benchmarks/plot_failures/{dataset}.tsv"
    resources:
        mem_mb=4000,
    params:
        settings=as_params(STAGES["score"][BASELINE]),
        shown=of_dataset(SHOWN_MAPS),
    shell:
        r"""
        python -m tfcore figure failures --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_examples:
    """Anomalous images of each category with overlay, map and ground truth (Figs. 9 and 10)."""
    input:
        maps=lambda wildcards: ancient(of_dataset(f"{SHOWN_MAPS}/maps.safetensors")(wildcards)),
        records=of_dataset(f"{SHOWN_MAPS}/run.json"),
    output:
        report(
            "results/figures/examples_{dataset}.png",
            caption="../report/examples.rst",
            category="Figures",
            labels={"figure": "examples", "dataset": "{dataset}"},
        ),
        "results/figures/examples_{dataset}.svg",
        "results/figures/examples_{dataset}.csv",
    log:
        "logs/plot_examples/{dataset}.log",
    benchmark:
        "logs/benchmarks/plot_examples/{dataset}.tsv"
    resources:
        mem_mb=4000,
    params:
        settings=as_params(STAGES["score"][BASELINE]),
        shown=of_dataset(SHOWN_MAPS),
    shell:
        r"""
        python -m tfcore figure examples --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule trace_process:
    """The reverse process of one image, step by step."""
    input:
        model=ancient(str(SHOWN.checkpoint)),
        record=str(SHOWN.checkpoint.with_name("run.json")),
        images=images_to_draw(SHOWN, "results/trace.safetensors"),
    output:
        "results/trace.safetensors",
    log:
        "logs/trace_process.log",
    benchmark:
        "logs/benchmarks/trace_process.tsv"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packed=str(packed_folder(SHOWN.dataset, SHOWN.category)),
        shown=str(SHOWN.checkpoint),
    shell:
        r"""
        python -m tfcore trace --checkpoint {input.model:q} --packed {params.packed:q} --out {output:q} \
            --device cpu >{log:q} 2>&1
        """


rule plot_reverse_process:
    """x_t, M_t, ε_t and n_t from the first to the last timestep (Fig. 3)."""
    input:
        "results/trace.safetensors",
    output:
        report(
            "results/figures/reverse_process.png",
            caption="../report/reverse_process.rst",
            category="Figures",
            labels={"figure": "reverse process", "dataset": "one image"},
        ),
        "results/figures/reverse_process.svg",
        "results/figures/reverse_process.csv",
    log:
        "logs/plot_reverse_process.log",
    benchmark:
        "logs/benchmarks/plot_reverse_process.tsv"
    shell:
        r"""
        python -m tfcore figure reverse_process --trace {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


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


rule figures:
    """Figures 3 and 5-10, and the losses."""
    input:
        expand(
            "results/figures/{name}.{kind}",
            name=["lambda_sweep", "kernel_sweep", "reverse_process"],
            kind=FIGURE_KINDS,
        ),
        expand(
            "results/figures/{name}_{dataset}.{kind}",
            name=["losses", "reconstructions", "failures", "examples"],
            dataset=DATASETS,
            kind=FIGURE_KINDS,
        ),
