# Figures, each as PNG and SVG with its data as CSV beside it. They draw the baseline's runs with the first seed.

from safetensors import SafetensorError, safe_open

SHOWN_MAPS = f"results/maps/{{dataset}}/{{category}}/{INFERRED_AS[BASELINE]}/seed{SEEDS[0]}"
SHOWN_LOSSES = f"results/checkpoints/{{dataset}}/{{category}}/{TRAINED_AS[BASELINE]}/seed{SEEDS[0]}/log.csv"
SHOWN_TRACE = f"results/trace/{SHOWN.id}.safetensors"
SWEEP_SETTINGS = SELECTED | {"shown": STAGES["score"][BASELINE]["score"]}  # λ and kernel are drawn as lines
PICTURES = ["reconstructions", "failures", "examples"]


localrules:
    figures,


def of_dataset(pattern):
    """Return an input function: the pattern's path for every category of the job's dataset."""
    return lambda wildcards: [
        pattern.format(dataset=wildcards.dataset, category=category)
        for category in SETTINGS.datasets[wildcards.dataset].categories
    ]


def figure_files(name):
    """Return every file of a figure but its picture."""
    return [f"results/figures/{name}.svg", f"results/figures/{name}.csv"]


def traced_checkpoint(file):
    """Return the sha256 of the checkpoint that a trace was made with; None without a trace."""
    try:
        with safe_open(file, framework="numpy") as trace:
            return (trace.metadata() or {}).get("checkpoint_sha256")
    except (OSError, SafetensorError):
        return None


def images_to_trace(wildcards):
    """Return the packed images, unless the trace is there already and is of the checkpoint that is there."""
    run = run_of(wildcards)
    if is_made(run, "train"):
        record = read_json(run.checkpoint.with_name("run.json"))
        if traced_checkpoint(f"results/trace/{run.id}.safetensors") == record.get("model_sha256"):
            return []
    return [str(packed_folder(run.dataset, run.category) / "pack.json")]


rule plot_sweep:
    """λ, the weight of the discriminative map (Fig. 7), or the side of the mean filter (Fig. 8), from the metrics."""
    input:
        "results/metrics.csv",
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
        settings=as_params(SWEEP_SETTINGS),
    shell:
        r"""
        python -m tfcore figure {wildcards.sweep}_sweep --metrics {input:q} --params {PARAMS:q} >{log:q} 2>&1
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
        *figure_files("losses_{dataset}"),
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


rule plot_pictures:
    """Reconstructions (Fig. 5), worst failures (Fig. 6) or examples (Figs. 9 and 10), chosen by a rule."""
    input:
        maps=lambda wildcards: ancient(of_dataset(f"{SHOWN_MAPS}/maps.safetensors")(wildcards)),
        records=of_dataset(f"{SHOWN_MAPS}/run.json"),
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
        figure="|".join(PICTURES),
    resources:
        mem_mb=4000,
    params:
        settings=as_params(STAGES["score"][BASELINE]),
        shown=of_dataset(SHOWN_MAPS),
    shell:
        r"""
        python -m tfcore figure {wildcards.figure} --dataset {wildcards.dataset:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule trace_process:
    """The reverse process of one image, step by step."""
    input:
        model=ancient(f"results/checkpoints/{RUN}/model.safetensors"),
        record=f"results/checkpoints/{RUN}/run.json",
        images=images_to_trace,
    output:
        f"results/trace/{RUN}.safetensors",
    log:
        f"logs/trace_process/{RUN}.log",
    benchmark:
        f"logs/benchmarks/trace_process/{RUN}.tsv"
    priority: 1  # a picture waits for it
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        packed=lambda wildcards: str(packed_folder(wildcards.dataset, wildcards.category)),
    shell:
        r"""
        python -m tfcore trace --checkpoint {input.model:q} --packed {params.packed:q} --out {output:q} \
            --device cpu >{log:q} 2>&1
        """


rule plot_reverse_process:
    """x_t, M_t, ε_t and n_t from the first to the last timestep (Fig. 3)."""
    input:
        SHOWN_TRACE,
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
        shown=SHOWN_TRACE,
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
                *expand("{figure}_{dataset}", figure=["losses", *PICTURES], dataset=DATASETS),
            ]
        ],
