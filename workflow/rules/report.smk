# The report page, and Snakemake's own report (snakemake --report report.html).

import shlex
from argparse import ArgumentParser
from itertools import chain

from tfcore.runs.needed import shown_settings


report: "../report/workflow.rst"


def given_command():
    """Return the command that Snakemake was started with: what decides where and what it makes, without targets.

    Options of several values come first and one of a single value last, so that a target can follow.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[])
    parser.add_argument("--config", "-C", nargs="*", default=[])
    for option in ("--snakefile", "--directory", "--executor", "--jobs", "--cores"):
        parser.add_argument(option, option[1:3], nargs=1, default=[])
    parser.add_argument("--profile", action="append", default=[])
    given = vars(parser.parse_known_args()[0])
    profiles = given.pop("profile") or [name for name in [os.environ.get("SNAKEMAKE_PROFILE")] if name]
    options = [[f"--{name}", *values] for name, values in given.items() if values]
    return shlex.join(["snakemake", *chain(*options, *(["--profile", name] for name in profiles))])


COMMAND = given_command()  # the page has commands to copy


localrules:
    check_claims,
    report,


rule check_claims:
    """The paper's statements beside the measured numbers: held, not held, not measured yet."""
    input:
        "results/metrics.csv",
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
        settings=as_params(TABLE_SETTINGS),
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
        "results/metrics.csv",
        "results/timing.csv",
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
