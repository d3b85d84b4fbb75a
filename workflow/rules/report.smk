# The report page, and Snakemake's own report (snakemake --report report.html).


report: "../report/workflow.rst"


localrules:
    check_claims,
    report,


rule check_claims:
    """The paper's statements beside the measured numbers: reproduced or not, or not measured yet."""
    input:
        METRICS,
    output:
        *table_files("claims"),
        report(
            "results/tables/claims.md",
            caption="../report/claims.rst",
            category="Tables",
            labels={"table": "claims", "shows": "claims of the paper", "dataset": "all"},
        ),
    log:
        "logs/check_claims.log",
    benchmark:
        "logs/benchmarks/check_claims.tsv"
    params:
        settings=as_params(selected() | BESIDE),
    shell:
        r"""
        python -m tfcore claims --metrics {input:q} --params {PARAMS:q} >{log:q} 2>&1
        """


rule report:
    """One self-contained page: tables, curves, examples, costs, where everything comes from."""
    input:
        rules.tables.input,
        rules.figures.input,
        rules.check_claims.output,
        METRICS,
        TIMING,
    output:
        "results/report/index.html",
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    params:
        settings=as_params(shown_settings(SETTINGS) | BESIDE),
    shell:
        r"""
        python -m tfcore report --params {PARAMS:q} --snakemake {COMMAND:q} >{log:q} 2>&1
        """
