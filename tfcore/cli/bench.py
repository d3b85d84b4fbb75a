"""Benchmarks: the optimised code against the baseline, measured alternately in one run. Run from the checkout."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Params
from tfcore.methods.registry import load_settings
from tfcore.runtime.errors import UserError

bench = typer.Typer(
    no_args_is_help=True, help="Measure the optimised code against the baseline, alternately in one run."
)
app.add_typer(bench, name="bench")

Out = Annotated[Path | None, typer.Option(help="CSV file to write.")]
Repeats = Annotated[int, typer.Option(min=1, help="Measurements of each way, in turn.")]
Size = Annotated[int, typer.Option(min=16, help="Side of the network's input in pixels.")]
Width = Annotated[int, typer.Option(min=8, help="Channels of the first resolution, a multiple of 8.")]
Batch = Annotated[int, typer.Option(min=1, help="Images per batch.")]
Native = Annotated[int, typer.Option(min=16, help="Side of the pictures on disk in pixels.")]
Precision = Annotated[Literal["auto", "float32", "bfloat16"], typer.Option(help="Precision of the optimised code.")]

DEFAULT_BATCHES = [8]


@bench.command("train")
def train_command(
    size: Size = 224,
    width: Width = 64,
    batch: Batch = 8,
    native: Native = 1024,
    precision: Precision = "auto",
    repeats: Repeats = 3,
    params: Params = DEFAULT_PARAMS,
    out: Out = None,
) -> None:
    """One training step: from files on disk and in float32, against packed images and the optimised network."""
    benchmark("speed").run_train(load_settings(*params), out, repeats, size, width, batch, native, precision)


@bench.command("infer")
def infer_command(
    size: Size = 224,
    width: Width = 64,
    batch: Annotated[
        list[int], typer.Option(min=1, help="Images per batch; repeat for several sizes.")
    ] = DEFAULT_BATCHES,
    steps: Annotated[int, typer.Option(min=3, help="Timesteps T of the reverse process.")] = 20,
    precision: Precision = "auto",
    repeats: Repeats = 3,
    params: Params = DEFAULT_PARAMS,
    out: Out = None,
) -> None:
    """Forward pass and reverse process: one image at a time in float32, against batches."""
    benchmark("speed").run_infer(load_settings(*params), out, repeats, size, width, list(batch), precision, steps)


@bench.command("anomalies")
def anomalies_command(
    size: Size = 224, batch: Batch = 8, repeats: Repeats = 5, params: Params = DEFAULT_PARAMS, out: Out = None
) -> None:
    """Synthetic anomalies: sample by sample in NumPy and Pillow, against the whole batch on the device."""
    benchmark("speed").run_anomalies(load_settings(*params), out, repeats, size, batch)


@bench.command("aupro")
def aupro_command(
    images: Annotated[int, typer.Option(min=2, help="Number of maps, with --size.")] = 200,
    size: Annotated[int | None, typer.Option(min=16, help="Side in pixels; left out: three usual sizes.")] = None,
    repeats: Repeats = 5,
    out: Out = None,
) -> None:
    """AUPRO: a full sort of all pixels, against this project's way."""
    module = benchmark("aupro")
    module.run(out, repeats, module.SIZES if size is None else [(images, size)])


@bench.command("graph")
def graph_command(repeats: Repeats = 3, out: Out = None) -> None:
    """Time Snakemake takes to see what there is to do at the paper's scale."""
    benchmark("graph").run(out, repeats)


@bench.command("pack")
def pack_command(
    images: Annotated[int, typer.Option(min=5, help="Images to make; with few of them, fixed costs show.")] = 300,
    suffix: Annotated[Literal[".jpg", ".png"], typer.Option(help="Format of the pictures on disk.")] = ".jpg",
    repeats: Repeats = 3,
    out: Out = None,
) -> None:
    """Packing: bare Pillow decoding of the same files, against packing them as a surface and as an object."""
    benchmark("pack").run(out, repeats, images, suffix)


def benchmark(name: str) -> ModuleType:
    """Import a benchmark of the checkout, which is no part of the installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "benchmarks").is_dir():
        raise UserError("the benchmarks are in the source checkout: clone the repository and install it with pip -e")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return import_module(f"benchmarks.{name}")
