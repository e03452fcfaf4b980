# SPDX-License-Identifier: Apache-2.0
"""`naiad demo`: the whole walk from weights to boxes, through an unmodified Ultralytics client."""

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.markup import escape

from naiad.cli import background
from naiad.cli.console import console, step
from naiad.cli.registry import RunningServer
from naiad.deployment import deploy
from naiad.deployment.export import fetch_weights, import_ultralytics, quiet
from naiad.errors import InvalidArgumentError, NotFoundError

MODEL = "yolo"
PRETRAINED = "yolo11n.pt"
ARCHITECTURE = "yolo11n.yaml"

_BY_HAND = 'from ultralytics import ASSETS, YOLO; YOLO("http://localhost:8000/yolo", task="detect")(ASSETS / "bus.jpg")'


@click.command(
    "demo",
    epilog="""\b
Examples:
  naiad demo
  naiad demo --weights best.pt --image street.jpg

Weights: --weights, else NAIAD_DEMO_WEIGHTS, else yolo11n.pt if Ultralytics can get it, else
an untrained YOLO11n, whose boxes mean nothing.""",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="NAIAD_DEMO_WEIGHTS",
    help="A .pt checkpoint or .onnx file.",
)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The picture to look at; default: a bus.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("naiad-demo.jpg"),
    show_default=True,
    help="Where the picture with the boxes is saved.",
)
def command(weights: Path | None, image: Path | None, output: Path) -> None:
    """Export a YOLO model, serve it, ask it through Ultralytics' own client, and stop the server again."""
    out = console()
    with TemporaryDirectory(prefix="naiad-demo-") as folder, _signals_unwind():
        repository = Path(folder, "models")
        with step(out, "Loading Ultralytics and PyTorch"):
            import_ultralytics()
        trained = weights or _pretrained(out)
        with step(out, f"Writing a model repository from {(trained or Path(ARCHITECTURE)).name}"):
            deployment = deploy(trained or _untrained(Path(folder)), MODEL, repository)
        with served(out, repository) as server:
            found = _predict(out, f"{server.http_url}/{MODEL}", deployment.task or "detect", image, output)
    _report(out, found, output, trained is not None)


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block as Ctrl-C does, so that the server is stopped."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _pretrained(out: Console) -> Path | None:
    """Return the published weights; None, after saying so, when they cannot be had."""
    here = Path(PRETRAINED)
    if here.is_file():
        return here
    try:
        with out.status(f"Fetching {PRETRAINED} …"):
            return fetch_weights(PRETRAINED)
    except NotFoundError as error:
        out.print(f"[yellow]![/] {escape(str(error))}")
        out.print(
            "[yellow]! Going on with an untrained YOLO11n: everything works as usual, but its boxes mean nothing.[/]\n"
            "  For real ones: naiad demo --weights yolo11n.pt"
        )
        return None


def _untrained(folder: Path) -> Path:
    """Save a YOLO11n with random weights, and return the checkpoint."""
    checkpoint = folder / "yolo11n-untrained.pt"
    with quiet():
        import_ultralytics().YOLO(ARCHITECTURE).save(checkpoint)
    return checkpoint


@contextmanager
def served(out: Console, repository: Path) -> Iterator[RunningServer]:
    """Serve the repository on a free port while the block runs, in a process of its own."""
    arguments = [f"--model-repository={repository}", "--http-port=0", "--allow-grpc=false", "--allow-metrics=false"]
    started = background.launch(arguments, port=0)
    try:
        with step(out, f"Starting: naiad serve --model-repository={repository}"):
            server = background.wait_until_ready(started)
        yield server
    finally:
        with step(out, "Stopping the server"):
            background.end(started)


def _predict(out: Console, url: str, task: str, image: Path | None, output: Path) -> Counter[str]:
    """Ask the served model through Ultralytics' client, save the picture, and return class → count."""
    ultralytics = import_ultralytics()
    picture = image or Path(ultralytics.utils.ASSETS, "bus.jpg")
    with step(out, f'Predicting: YOLO("{url}", task="{task}")("{picture.name}")'), quiet():
        try:
            results = ultralytics.YOLO(url, task=task)(picture, verbose=False)
        except FileNotFoundError:  # what Ultralytics says of a file that is neither picture, video nor list of them
            results = []
    if not results:
        raise InvalidArgumentError(
            f"'{picture}' holds no picture, expected a .jpg or .png file; choose another --image"
        )
    with quiet():
        results[0].save(filename=str(output))
    return Counter(row["name"] for row in results[0].summary())


def _report(out: Console, found: Counter[str], output: Path, trained: bool) -> None:
    counts = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in found.most_common()) or "nothing"
    out.print(f"\nFound: [bold]{escape(counts)}[/]{'' if trained else ' (untrained weights: this means nothing)'}")
    out.print(f"The picture with the boxes: {escape(str(output.absolute()))}")
    out.print("\nThe same by hand:")
    out.print(f"  naiad deploy {PRETRAINED} --name yolo")
    out.print("  naiad serve --model-repository=models")
    out.print("  python -c " + escape(shlex.quote(_BY_HAND)))
