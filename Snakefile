# The graph of jobs, from raw data to the paper's tables. Settings: params.yaml. Rules: workflow/rules/.

from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/galleries.smk"
include: "workflow/rules/report.smk"


rule all_tables:
    """Everything: the tables, the checkpoints behind them, figures and the report page."""
    default_target: True
    input:
        rules.checkpoints.input,
        rules.tables.input,
        rules.figures.input,
        rules.report.output,


rule ablations:
    """Table 4 and the sweeps over λ and filter size."""
    input:
        files_of("table4"),
        "results/figures/lambda_sweep.png",
        "results/figures/kernel_sweep.png",
