# SPDX-License-Identifier: Apache-2.0
"""`naiad check`: explains a repository offline: what will be served, what is wrong, and how it should read."""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from naiad.cli.console import console, print_block
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.deployment.check import CheckedModel, Finding, Report, ServedVersion, Severity, check
from naiad.engine.model import placements
from naiad.tensors import BY_CONFIG_NAME

_MARKS = {
    Severity.ERROR: ("✗", "red"),
    Severity.WARNING: ("!", "yellow"),
    Severity.NOTE: ("i", "cyan"),
}
_CLASSES_SHOWN = 4
_CORRECTED_LINES_SHOWN = 24
_LINE_SHOWN = 78
_TITLE_WIDTH = len("expected")


@click.command(
    "check",
    epilog="""\b
Examples:
  naiad check models
  naiad check models more-models             # also: models with the same name in both
  naiad check models --strict                # in CI: warnings fail, too
  naiad check models --format json | jq '.models[].findings[] | [.rule, .file, .line, .corrected]'

\b
Exit codes: 0 no errors (with --strict: no warnings either), 1 there are some, 2 wrong usage.""",
)
@click.argument("repositories", metavar="REPOSITORY...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Fail for warnings as well.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(ctx: click.Context, repositories: tuple[Path, ...], strict: bool, form: str) -> None:
    """Explain model repositories without serving them: what will be served, and everything that is wrong.

    Each model is taken through the steps of a load: its config is read and completed, its file is opened. No server
    is started. A problem is told with file, line, field, what was expected, what was got, and the text as it should
    read.
    """
    if form == "json":
        report = check(repositories)
        click.echo(json.dumps(report.to_document(), indent=2, ensure_ascii=False))
    else:
        out = console()
        with out.status("Checking …") as status:
            report = check(repositories, lambda name: status.update(f"Checking {escape(name)} …"))
        _print(out, report)
    if report.count(Severity.ERROR) or (strict and report.count(Severity.WARNING)):
        ctx.exit(1)


def _print(out: Console, report: Report) -> None:
    for model in report.models:
        print_block(out, _headline(model))
        for versions, served in _alike(model):
            print_block(out, _indented(_config_table(model, versions, served)))
        for finding in model.findings:
            out.print()
            _print_finding(out, finding, indent=2)
        out.print()
    for finding in report.findings:
        _print_finding(out, finding)
        out.print()
    for line in _summary(report):
        out.print(line)


def _indented(content: RenderableType, indent: int = 2) -> Padding:
    return Padding(content, (0, 0, 0, indent), expand=False)


def _headline(model: CheckedModel) -> Text:
    severity = next((one for one in (Severity.ERROR, Severity.WARNING) if model.count(one)), None)
    mark, style = _MARKS[severity] if severity else ("✓", "green")
    outcome = "is not served"
    if model.served:
        outcome = "is served, but YOLO(...) cannot use it" if severity is Severity.ERROR else "is served"
    return Text.assemble(
        (f"{mark} {model.name}", f"bold {style}"), (f" {outcome}", style), (f"  {_path(str(model.directory))}", "dim")
    )


def _alike(model: CheckedModel) -> Iterator[tuple[list[int], ServedVersion]]:
    """Yield the served versions, those with the same config together."""
    for _, group in groupby(model.served, key=lambda version: version.config.SerializeToString(deterministic=True)):
        versions = list(group)
        yield [version.number for version in versions], versions[-1]


def _config_table(model: CheckedModel, versions: list[int], served: ServedVersion) -> Table:
    """Show what is served, as a reader would ask for it."""
    config = served.config
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    rows = {
        "version": _versions(model, versions, config),
        "backend": config.platform or config.backend,
        "inputs": _tensors(config.input, config),
        "outputs": _tensors(config.output, config),
        "batching": _batching(config),
        "instances": _instances(served),
        "metadata": _metadata(served),
        "labels": ", ".join(f"{name}: {count} labels" for name, count in served.labels),
    }
    for title, text in rows.items():
        if text:
            made.add_row(title, Text(text))
    return made


def _versions(model: CheckedModel, versions: list[int], config: ModelConfig) -> str:
    shown = ", ".join(map(str, versions))
    if len(model.versions) == len(versions):
        return shown
    choice = config.version_policy.WhichOneof("policy_choice")
    policy = f"latest {config.version_policy.latest.num_versions}" if choice == "latest" else choice
    return f"{shown} of {', '.join(map(str, model.versions))} (version policy: {policy})"


def _tensors(tensors: Iterable[model_config_pb2.ModelInput | model_config_pb2.ModelOutput], config: ModelConfig) -> str:
    rows = list(tensors)
    width = max((len(row.name) for row in rows), default=0)
    batch = ["batch"] if config.max_batch_size else []
    return "\n".join(
        f"{row.name:{width}}  {BY_CONFIG_NAME[model_config_pb2.DataType.Name(row.data_type)].name}"
        f" [{', '.join(batch + ['any' if size == -1 else str(size) for size in row.dims])}]"
        for row in rows
    )


def _batching(config: ModelConfig) -> str:
    if not config.max_batch_size:
        return "none: one request at a time, with the shapes above"
    most = f"up to {config.max_batch_size} rows"
    if not config.HasField("dynamic_batching"):
        return f"{most} in a request; requests are not merged"
    delay_us = config.dynamic_batching.max_queue_delay_microseconds
    return f"requests are merged, {most}" + (f", waiting up to {delay_us} µs" if delay_us else "")


def _instances(served: ServedVersion) -> str:
    placed = [f"GPU {one.device_id}" if one.kind == "GPU" else one.kind for one in placements(served.config)]
    counts = ", ".join(f"{placed.count(kind)} × {kind}" for kind in dict.fromkeys(placed))
    return f"{counts}, {_counted(served.threads_per_instance, 'thread')} each"


def _metadata(served: ServedVersion) -> str:
    if not served.classes and not served.task:
        return ""
    shown = ", ".join(served.classes[:_CLASSES_SHOWN]) + (", …" if len(served.classes) > _CLASSES_SHOWN else "")
    classes = _counted(len(served.classes), "class", "classes")
    return ", ".join(filter(None, (served.task, f"{classes} ({shown})" if shown else "no class names")))


def _print_finding(out: Console, finding: Finding, indent: int = 0) -> None:
    problem = finding.problem
    mark, style = _MARKS[finding.severity]
    head = Text.assemble(
        (f"{mark} {finding.severity.value}", f"bold {style}"), (f"[{finding.rule}]", style), f" {problem.message}"
    )
    place = f"{_path(problem.file)}:{problem.line}" if problem.line else _path(problem.file)
    rows = {
        "at": Text(f"{place}  {problem.field}".rstrip()),
        "": Text(_source_line(finding), "dim"),
        "expected": Text(problem.expected),
        "got": Text(problem.got),
        "fix": Text(_without_folder(problem.fix)),
        "correct": _corrected(finding.corrected),
    }
    print_block(out, _indented(head, indent))
    for title, text in rows.items():
        if "run: " in text.plain:  # left to the terminal to wrap, so that the command can be copied
            out.print(Text.assemble(" " * (indent + 2), (f"{title:{_TITLE_WIDTH}}", "dim"), "  ", text))
        elif text.plain:
            row = Table.grid(padding=(0, 2))
            row.add_column(style="dim", min_width=_TITLE_WIDTH)
            row.add_column(overflow="fold")
            row.add_row(title, text)
            print_block(out, _indented(row, indent + 2))


def _source_line(finding: Finding) -> str:
    problem = finding.problem
    if not problem.line:
        return ""
    lines = Path(problem.file).read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{problem.line} │ {_cut(lines[problem.line - 1].strip())}" if problem.line <= len(lines) else ""


def _corrected(text: str) -> Text:
    """Show the text as it should read, in lines that fit; JSON has the whole of it."""
    lines = [_cut(line) for line in _without_folder(text).splitlines()]
    if len(lines) > _CORRECTED_LINES_SHOWN:
        lines = [*lines[:_CORRECTED_LINES_SHOWN], "…"]
    return Text("\n".join(lines), "green")


def _cut(line: str) -> str:
    return line if len(line) <= _LINE_SHOWN else f"{line[: _LINE_SHOWN - 1]}…"


def _summary(report: Report) -> Iterator[str]:
    if not report.models:
        yield "No models here. Put one there: naiad deploy WEIGHTS --repository " + escape(
            _path(str(report.repositories[0]))
        )
        return
    served = sum(bool(model.served) for model in report.models)
    counts = [
        f"[{_MARKS[severity][1]}]{_counted(report.count(severity), severity.value)}[/]"
        for severity in Severity
        if report.count(severity)
    ]
    yield f"{served} of {_counted(len(report.models), 'model')} served; {', '.join(counts) or '[green]no problems[/]'}"
    if not report.count(Severity.ERROR):
        flags = " ".join(f"--model-repository={_path(str(path))}" for path in report.repositories)
        yield f"Serve {'it' if served == 1 else 'them'}: naiad serve {escape(flags)}"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _path(path: str) -> str:
    """Return a path as a user in this folder would write it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _without_folder(text: str) -> str:
    """Return text whose paths are those of `_path`."""
    return text.replace(f"{Path.cwd()}{os.sep}", "")
