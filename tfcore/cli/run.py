"""Commands of the method: training, inference and what is seen of a trained model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Category, Dataset, Params, Seed, Variant, load_run
from tfcore.runs.run import TEXTURES_FOLDER, packed_folder, shared_run, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import HardwareSettings, ScoreSettings, load_settings

SCORE = ScoreSettings()

Checkpoint = Annotated[Path, typer.Option(help="Checkpoint, model.safetensors.")]
Device = Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where to compute.")]


@app.command("train")
def train_command(
    dataset: Dataset, category: Category, variant: Variant = "full", seed: Seed = 0, params: Params = DEFAULT_PARAMS
) -> None:
    """Train one run; an interrupted training continues with the same command."""
    from tfcore.methods.transfusion.train import train

    settings, named = load_run(params, dataset, category, variant, seed)
    run, stage = shared_run(settings, "train", named), stage_settings(settings, "train", variant)
    packed, out = packed_folder(dataset, category), run.checkpoint.parent
    train(run, stage, packed, TEXTURES_FOLDER, out, run.work, settings.hardware)


@app.command("infer")
def infer_command(
    dataset: Dataset,
    category: Category,
    variant: Variant = "full",
    seed: Seed = 0,
    epoch: Annotated[int | None, typer.Option(help="Use the weights kept after this epoch.")] = None,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Make the maps of a category's test images with a trained run."""
    from tfcore.methods.transfusion.infer import infer
    from tfcore.methods.transfusion.train import epoch_file

    settings, named = load_run(params, dataset, category, variant, seed)
    trained, run = shared_run(settings, "train", named), shared_run(settings, "infer", named)
    checkpoint = trained.checkpoint if epoch is None else epoch_file(trained.checkpoint.parent, epoch)
    out = run.maps_at(epoch).parent
    stage = stage_settings(settings, "infer", variant)
    infer(checkpoint, packed_folder(dataset, category), out, stage, settings.hardware, run)


@app.command("trace")
def trace_command(
    checkpoint: Checkpoint,
    packed: Annotated[Path, typer.Option(help="Folder of the packed category.")],
    out: Annotated[Path, typer.Option(help="File to write, *.safetensors.")],
    index: Annotated[int | None, typer.Option(help="Test image by its row; default: the first anomalous one.")] = None,
    device: Device = "auto",
) -> None:
    """Keep x_t, mask, anomaly and normal appearance of one image at every step (Fig. 3)."""
    from tfcore.methods.transfusion.infer import trace

    trace(checkpoint, packed, index, out, hardware(device))


@app.command("predict")
def predict_command(
    images: Annotated[list[Path], typer.Argument(help="Images or folders of images.")],
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder for maps, overlays and scores.json.")] = Path("predictions"),
    device: Device = "auto",
    lambda_: Annotated[
        float,
        typer.Option("--lambda", min=0, max=1, help="λ, weight of the masks against the reconstruction (Eq. 10)."),
    ] = SCORE.lambda_,
    kernel: Annotated[int, typer.Option(min=1, help="Side in pixels of the mean filter (Eq. 11), odd.")] = SCORE.kernel,
) -> None:
    """Score your own pictures: anomaly map, overlay and image score of each."""
    from tfcore.predict import predict

    if kernel % 2 == 0:
        raise UserError(f"--kernel: must be odd (found {kernel})")
    predict(checkpoint, images, out, hardware(device), lambda_, kernel)


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


def hardware(device: Literal["auto", "cuda", "cpu"]) -> HardwareSettings:
    """Return the default hardware settings on a device."""
    return HardwareSettings(device=device)


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
    packed = packed_folder(dataset, category)
    if kind == "foregrounds":
        foreground_gallery(packed, out)
    else:
        anomaly_gallery(packed, TEXTURES_FOLDER, stage_settings(settings, "train", variant), out, seed)
