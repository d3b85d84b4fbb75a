"""Commands that tell what is to do, what runs and what it cost."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Params
from tfcore.methods.registry import load_settings
from tfcore.operations.cost import BENCHMARKS, Cost, cost_rows, read_jobs, table_costs, total, write_costs
from tfcore.operations.plan import Plan, make_plan
from tfcore.report.page.provenance import duration
from tfcore.runs.stages import RunStage
from tfcore.runtime.errors import UserError

STAGES: dict[RunStage, str] = {"train": "trainings", "infer": "inferences", "score": "scorings", "sweep": "sweeps"}
Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Targets of the workflow: table1, ablations, …; default: all_tables."),
]
Benchmarks = Annotated[
    list[Path] | None,
    typer.Option("--benchmark", help="CSV of `bench train` or `infer` to estimate from; repeat."),
]
Gpus = Annotated[int, typer.Option(min=1, help="GPUs that you can use at one time.")]


@app.command("plan")
def plan_command(
    targets: Targets = None, params: Params = DEFAULT_PARAMS, benchmark: Benchmarks = None, gpus: Gpus = 1
) -> None:
    """Tell what is to do for some targets, or for everything: jobs, hours, disk, longest chain."""
    plan = make_plan(load_settings(*params), benchmark, targets)
    _print_counts(plan)
    _print_time(plan, gpus)
    run, seconds = plan.longest()
    longest = f", {duration(seconds)} of training and inference ({run.id})" if run and seconds is not None else ""
    if plan.chain:
        print(f"longest chain: {' → '.join(plan.chain)}{longest}")
    _print_disk(plan, gpus)


@app.command("status")
def status_command(
    params: Params = DEFAULT_PARAMS,
    benchmark: Benchmarks = None,
    lines: Annotated[int, typer.Option(min=1, help="Last lines of the log of each failed job.")] = 5,
) -> None:
    """Tell what runs, what failed, what is left and for how long."""
    from tfcore.operations.status import make_status

    status = make_status(make_plan(load_settings(*params), benchmark), lines)
    _print_counts(status.plan)
    print(f"\ntraining now: {len(status.running) or 'nothing'}")
    for at in status.running:
        speed = "" if at.images_per_second is None else f", {at.images_per_second:.1f} images/s"
        print(f"  {at.run.id}: step {at.step}, epoch {at.epoch}{speed} ({at.owner})")
    if status.at_work:
        print(f"other jobs at work, by their logs: {', '.join(status.at_work)}")
    for title, wanted in (("interrupted, goes on with the next attempt", True), ("failed", False)):
        found = [failure for failure in status.failed if failure.interrupted == wanted]
        if found or not wanted:
            print(f"{title}: {len(found) or 'nothing'}")
        for failure in found:
            print(f"  {failure.job}, {failure.log}:")
            print("\n".join(f"    {line}" for line in failure.lines))
    eta = status.eta_seconds
    print("time left: " + ("unknown, nothing was measured yet" if eta is None else f"about {duration(eta)}"))


@app.command("cost")
def cost_command(
    params: Params = DEFAULT_PARAMS,
    out: Annotated[Path | None, typer.Option(help="CSV file to write as well.")] = None,
) -> None:
    """Tell what the results cost: GPU-hours, wall time and peak memory per rule and category, and per table."""
    settings = load_settings(*params)
    jobs = read_jobs()
    if not jobs:
        raise UserError(f"{BENCHMARKS}: no benchmark files; they are written by the workflow's jobs, here none has run")
    rows = cost_rows(jobs)
    _print_costs([*rows, total("all", "", jobs)])
    print("\nWhat each table is made from (tables share trainings, the rows do not add up):")
    tables = table_costs(jobs, settings)
    _print_costs(tables)
    if any(row.resumed for row in rows):
        print("\nresumed: trainings of several attempts, whose earlier attempts are estimated from their steps")
    if out is not None:
        write_costs([*rows, *tables], out)
        print(f"\n{out}")


def _print_counts(plan: Plan) -> None:
    from tabulate import tabulate

    rows = []
    for stage, name in STAGES.items():
        done, count = plan.count(stage)
        rows.append([name, done, count - done, count])
    print(tabulate(rows, headers=["", "done", "to do", "all"], tablefmt="simple"))


def _print_time(plan: Plan, gpus: int) -> None:
    """Print the estimates with their sources, or what is missing for them."""
    print()
    for stage, name in STAGES.items():
        seconds = plan.seconds(stage)
        where = "on one device" if stage in ("train", "infer") else "one after the other, without a GPU"
        print(f"{name}: {'unknown' if seconds is None else duration(seconds)} {where}")
        for speed in plan.speeds.get(stage, []):
            print(f"  measured: {speed}")
    for line in plan.unknown:
        print(f"  unknown: {line}")
    known = [seconds for stage in ("train", "infer") if (seconds := plan.seconds(stage)) is not None]
    total, longest = sum(known) if len(known) == 2 else None, plan.longest()[1]
    print(f"GPU-hours: {'unknown' if total is None else f'{total / 3600:.3g}'}")
    if total is not None and longest is not None:
        print(f"with {gpus} at one time: {duration(max(longest, total / gpus))}")


def _print_disk(plan: Plan, gpus: int) -> None:
    sizes = plan.disk | {"states of running trainings": gpus * plan.state_bytes}
    parts = ", ".join(f"{name} {size / 1e9:.3g} GB" for name, size in sizes.items() if size)
    needed = sum(sizes.values())
    print(f"disk: {needed / 1e9:.3g} GB to write ({parts or 'nothing'}), {plan.free / 1e9:.0f} GB free")
    if needed > plan.free:
        print("  that is more than is free here")


def _print_costs(rows: list[Cost]) -> None:
    from tabulate import tabulate

    body = [[*row.cells(".3f")[:-1], row.resumed or ""] for row in rows]
    headers = ["rule", "of", "jobs", "wall h", "GPU h", "peak MB", "resumed"]
    print(tabulate(body, headers=headers, tablefmt="simple", disable_numparse=True))
