# Figures, each as PNG and SVG with its data as CSV beside it. They draw the baseline's runs with the first seed.


rule plot_sweep:
    """λ, the weight of the discriminative map (Fig. 7), or the side of the mean filter (Fig. 8), from the metrics."""
    input:
        METRICS,
    output:
        figure_output("{sweep}_sweep", "sweep", figure="{sweep} sweep", dataset="all"),
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
        figure_output("losses_{dataset}", "losses", figure="losses", dataset="{dataset}"),
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
        figure_output("{figure}_{dataset}", "pictures", figure="{figure}", dataset="{dataset}"),
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
        figure_output("reverse_process", "reverse_process", figure="reverse process", dataset="one image"),
    log:
        "logs/plot_reverse_process.log",
    benchmark:
        "logs/benchmarks/plot_reverse_process.tsv"
    params:
        shown=str(SHOWN.trace),
    shell:
        r"""
        python -m tfcore figure reverse_process --trace {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule figures:
    """Figures 3 and 5-10 as far as the baseline's method has them, and the losses."""
    input:
        [[f"results/figures/{name}.png", *figure_files(name)] for name in figure_names()],
