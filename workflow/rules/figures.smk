# Figures, each as PNG and SVG with its data as CSV beside it. They draw the baseline's runs with the first seed.


rule plot_sweep:
    """λ, the weight of the discriminative map (Fig. 7), or the side of the mean filter (Fig. 8), from the metrics."""
    input:
        METRICS,
    output:
        report(
            "results/figures/{sweep}_sweep.png",
            caption="../report/sweep.rst",
            category="Figures",
            labels={"figure": "{sweep} sweep", "dataset": "all"},
        ),
        *figure_files("{sweep}_sweep"),
    log:
        "logs/plot_sweep/{sweep}.log",
    benchmark:
        "logs/benchmarks/plot_sweep/{sweep}.tsv"
    wildcard_constraints:
        sweep="lambda|kernel",
    params:
        settings=as_params(selected() | stage_settings(SETTINGS, "score", BASELINE)),  # λ and kernel are drawn as lines
    shell:
        r"""
        python -m tfcore figure {wildcards.sweep}_sweep --metrics {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_losses:
    """Loss terms by epoch, a panel per category."""
    input:
        shown_files("train", lambda run: run.losses),
    output:
        report(
            "results/figures/losses_{dataset}.png",
            caption="../report/losses.rst",
            category="Figures",
            labels={"figure": "losses", "dataset": "{dataset}"},
        ),
        *figure_files("losses_{dataset}"),
    log:
        "logs/plot_losses/{dataset}.log",
    benchmark:
        "logs/benchmarks/plot_losses/{dataset}.tsv"
    params:
        shown=shown_files("train", lambda run: run.losses),
    shell:
        r"""
        python -m tfcore figure losses --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule plot_pictures:
    """Reconstructions (Fig. 5), worst failures (Fig. 6) or examples (Figs. 9 and 10), chosen by a rule."""
    input:
        maps=lambda wildcards: ancient(shown_files("infer", lambda run: run.maps)(wildcards)),
        scores=lambda wildcards: [run.images for run in shown_runs(SETTINGS, wildcards.dataset)],
    output:
        report(
            "results/figures/{figure}_{dataset}.png",
            caption="../report/pictures.rst",
            category="Figures",
            labels={"figure": "{figure}", "dataset": "{dataset}"},
        ),
        *figure_files("{figure}_{dataset}"),
    log:
        "logs/plot_pictures/{figure}/{dataset}.log",
    benchmark:
        "logs/benchmarks/plot_pictures/{figure}/{dataset}.tsv"
    wildcard_constraints:
        figure="reconstructions|failures|examples",
    resources:
        mem_mb=4000,
    params:
        settings=params_of("score", BASELINE),
        shown=shown_files("infer", lambda run: run.maps),
    shell:
        r"""
        python -m tfcore figure {wildcards.figure} --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule trace_process:
    """The reverse process of one image, step by step."""
    input:
        model=ancient(ANY.checkpoint),
        record=record_of(ANY.checkpoint),
        images=images_to_trace,
    output:
        ANY.trace,
    log:
        f"logs/trace_process/{ANY.id}.log",
    benchmark:
        f"logs/benchmarks/trace_process/{ANY.id}.tsv"
    priority: 1  # a picture waits for it
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packed=lambda wildcards: str(run_of(wildcards).packed),
    shell:
        r"""
        python -m tfcore trace --checkpoint {input.model:q} --packed {params.packed:q} --out {output:q} \
            --device cpu >{log:q} 2>&1
        """


rule plot_reverse_process:
    """x_t, M_t, ε_t and n_t from the first to the last timestep (Fig. 3)."""
    input:
        SHOWN.trace,
    output:
        report(
            "results/figures/reverse_process.png",
            caption="../report/reverse_process.rst",
            category="Figures",
            labels={"figure": "reverse process", "dataset": "one image"},
        ),
        *figure_files("reverse_process"),
    log:
        "logs/plot_reverse_process.log",
    benchmark:
        "logs/benchmarks/plot_reverse_process.tsv"
    params:
        shown=SHOWN.trace,
    shell:
        r"""
        python -m tfcore figure reverse_process --trace {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule figures:
    """Figures 3 and 5-10, and the losses."""
    input:
        [
            [f"results/figures/{name}.png", *figure_files(name)]
            for name in [
                *("lambda_sweep", "kernel_sweep", "reverse_process"),
                *expand(
                    "{figure}_{dataset}",
                    figure=["losses", "reconstructions", "failures", "examples"],
                    dataset=DATASETS,
                ),
            ]
        ],


# Contact sheets of what the network is trained on; they need the packed images.
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
