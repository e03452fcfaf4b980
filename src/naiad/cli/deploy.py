# SPDX-License-Identifier: Apache-2.0
"""`naiad deploy`: weights into a repository."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.markup import escape

from naiad.cli.console import console
from naiad.deployment import Deployment, ExportOptions, deploy
from naiad.deployment.deploying import DEFAULT_MAX_BATCH_SIZE


@click.command(
    "deploy",
    epilog="""\b
Examples:
  naiad deploy yolo11n.pt --name yolo             # ./models/yolo/1/model.onnx and config.pbtxt
  naiad deploy yolo11n.pt --name yolo             # again: version 2
  naiad deploy best.onnx --repository /srv/models
  naiad deploy yolo11n.pt --imgsz 320 --fixed     # one size only: 320x320
  naiad deploy yolo11n.pt --accelerator tensorrt  # for GPUs""",
)
@click.argument("weights", shell_complete=lambda _ctx, _param, incomplete: [CompletionItem(incomplete, type="file")])
@click.option("--name", metavar="NAME", help="The model's name; by default that of the file.")
@click.option(
    "--repository",
    "-r",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="The folder of models; made when it does not exist.",
)
@click.option(
    "--imgsz",
    type=click.IntRange(min=32),
    help="Export: side of the image in pixels; by default what it was trained with.",
)
@click.option(
    "--dynamic/--fixed", default=True, show_default=True, help="Export: leave batch and image size open, or fix them."
)
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Export: rows, with --fixed.")
@click.option("--half", is_flag=True, help="Export: weights in FP16.")
@click.option(
    "--simplify/--no-simplify", default=None, help="Export: simplify the graph; by default when onnxslim is installed."
)
@click.option("--opset", type=click.IntRange(min=7), help="Export: ONNX opset; by default the newest that works.")
@click.option("--nms", is_flag=True, help="Export: suppress overlapping boxes inside the model.")
@click.option(
    "--max-batch-size",
    type=click.IntRange(min=1),
    help=f"Most images in a batch; by default {DEFAULT_MAX_BATCH_SIZE}, or what config.pbtxt says already.",
)
@click.option("--accelerator", type=click.Choice(["tensorrt"]), help="Run GPU instances with this accelerator.")
def command(
    weights: str,
    name: str | None,
    repository: Path,
    imgsz: int | None,
    dynamic: bool,
    batch: int,
    half: bool,
    simplify: bool | None,
    opset: int | None,
    nms: bool,
    max_batch_size: int | None,
    accelerator: str | None,
) -> None:
    """Put WEIGHTS into a repository, as the next version of a model.

    WEIGHTS is a .pt checkpoint, which Ultralytics exports to ONNX, or a .onnx file, which is taken as it is. The
    name of a checkpoint that Ultralytics publishes (yolo11n.pt) is downloaded when there is no such file.
    """
    out = console()
    with out.status("Starting …") as status:
        made = deploy(
            weights,
            name,
            repository,
            export=ExportOptions(
                imgsz=imgsz, dynamic=dynamic, half=half, batch=batch, simplify=simplify, opset=opset, nms=nms
            ),
            max_batch_size=max_batch_size,
            tensorrt=accelerator == "tensorrt",
            on_step=lambda title: status.update(f"{escape(title)} …"),
        )
    _report(out, made, repository)


def _report(out: Console, made: Deployment, repository: Path) -> None:
    out.print(f"[green]✓[/] Deployed [bold]{escape(made.model)}[/] version {made.version}: {escape(str(made.path))}")
    if made.version > 1:
        out.print("  A server that runs already keeps the versions it has loaded; restart it to serve this one.")
    out.print(f"  Serve it: naiad serve --model-repository={escape(str(repository))}")
    for how, address in (("Then:", "http://localhost:8000"), ("Or:", "grpc://localhost:8001")):
        out.print(f'  {how:9} YOLO("{address}/{escape(made.model)}", task="{made.task or "detect"}")("bus.jpg")')
