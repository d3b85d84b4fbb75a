"""Commands of a run: training, inference and what is seen of a trained model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Category, Dataset, Params, Seed, Variant, load_run
from tfcore.methods.registry import load_settings
from tfcore.runs.run import TEXTURES_FOLDER, Run
from tfcore.runs.stages import shared_run, stage_settings
from tfcore.settings.sections import HardwareSettings

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint, model.safetensors.")]
Device = Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where to compute.")]


@app.command("train")
def train_command(
    dataset: Dataset, category: Category, variant: Variant = "full", seed: Seed = 0, params: Params = DEFAULT_PARAMS
) -> None:
    """Train one run; an interrupted training continues with the same command."""
    from tfcore.methods.train import train

    settings, named = load_run(params, dataset, category, variant, seed)
    run, stage = shared_run(settings, "train", named), stage_settings(settings, "train", variant)
    train(run, stage, run.packed, TEXTURES_FOLDER, run.checkpoint.parent, run.work, settings.hardware)


@app.command("infer")
def infer_command(
    dataset: Dataset,
    category: Category,
    variant: Variant = "full",
    seed: Seed = 0,
    epoch: Annotated[int | None, typer.Option(help="Use the intermediate checkpoint after this epoch.")] = None,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Make the anomaly maps of a category's test images with a trained run."""
    from tfcore.methods.infer import infer

    settings, named = load_run(params, dataset, category, variant, seed)
    trained, run = shared_run(settings, "train", named), shared_run(settings, "infer", named)
    out, stage = run.maps_at(epoch).parent, stage_settings(settings, "infer", variant)
    infer(trained.checkpoint_at(epoch), run.packed, out, stage, settings.hardware, run)


@app.command("trace")
def trace_command(
    checkpoint: Checkpoint,
    packed: Annotated[Path, typer.Option(help="Folder of the packed category.")],
    out: Annotated[Path, typer.Option(help="File to write, *.safetensors.")],
    index: Annotated[int | None, typer.Option(help="Test image by its row; default: the first anomalous one.")] = None,
    device: Device = "auto",
) -> None:
    """Keep x_t, mask, anomaly and normal appearance of one image at every step (Fig. 3)."""
    from tfcore.data.packed import Packed
    from tfcore.methods.infer import Loaded
    from tfcore.runtime.device import explained

    with explained(f"trace with {checkpoint}"):
        loaded = Loaded.read(checkpoint, HardwareSettings(device=device), {"infer": {"precision": "float32"}})
        data = Packed(packed)
        loaded.check_pack(data)
        loaded.method.trace(loaded.model, loaded.checkpoint, data, index, out)


@app.command("predict")
def predict_command(
    images: Annotated[list[Path], typer.Argument(help="Images or folders of images.")],
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder for maps, overlays and scores.json.")] = Path("predictions"),
    device: Device = "auto",
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Score your own pictures: anomaly map, overlay and image score of each."""
    from tfcore.predict import predict

    predict(checkpoint, images, out, load_settings(*params), HardwareSettings(device=device))


@app.command("time-inference")
def time_inference_command(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Measure seconds per image over numbers of timesteps and batch sizes (Table 5)."""
    from tfcore.operations.inference_time import time_inference

    settings = load_settings(*params)
    tables = settings.tables
    time_inference(checkpoint, tables.inference_steps, tables.inference_batches, settings.hardware, out)


@app.command("convert-release")
def convert_release_command(
    file: Annotated[Path, typer.Argument(help="The authors' state dict: <category>_model.pkl, or safetensors.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to write.")],
    dataset: Annotated[str, typer.Option(help="Dataset that it was trained on.")] = "unknown",
    category: Annotated[str, typer.Option(help="Category that it was trained on.")] = "unknown",
    steps: Annotated[int, typer.Option(help="Timesteps T that it was trained with.", min=3)] = 20,
    size: Annotated[int, typer.Option(help="Side in pixels of the images it was trained on.", min=16)] = 256,
) -> None:
    """Turn one of the authors' released checkpoints into one that `infer` accepts."""
    from tfcore.methods.transfusion.released import convert_release

    typer.echo(convert_release(file, out, dataset, category, steps, size))


@app.command("gallery")
def gallery_command(
    kind: Annotated[Literal["anomalies", "foregrounds"], typer.Argument(help="What to draw.")],
    dataset: Dataset,
    category: Category,
    variant: Variant = "full",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="PNG file to write; by default below results/figures.")] = None,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Draw the synthetic anomalies that a category is trained on, or the foregrounds found in its images."""
    from tfcore.report.figures.galleries import anomaly_gallery, foreground_gallery

    settings, _ = load_run(params, dataset, category, variant)
    out = out or Path(f"results/figures/{kind}/{dataset}_{category}.png")
    packed = Run(dataset, category).packed
    if kind == "foregrounds":
        foreground_gallery(packed, out)
    else:
        anomaly_gallery(packed, TEXTURES_FOLDER, stage_settings(settings, "train", variant), out, seed)
