# SPDX-License-Identifier: Apache-2.0
"""`naiad serve`: Triton's flags, made from the table of options, and the banner of a server that is ready."""

import os
import shlex
import time
from collections.abc import Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.markup import escape

from naiad.cli import background
from naiad.cli.banner import print_banner
from naiad.cli.console import console, step
from naiad.cli.local_client import client_of
from naiad.cli.models import print_models
from naiad.cli.processes import start_mark
from naiad.cli.registry import RunningServer, registered
from naiad.errors import InvalidArgumentError, NaiadError, UnavailableError
from naiad.options import (
    DEFAULTS,
    ENVIRONMENT_LIST_SEPARATOR,
    FIELD_FLAGS,
    LATER_FLAGS,
    BackendOption,
    LaterFlag,
    RestrictedGroup,
    ServerOptions,
    environment_name,
    flag_name,
    parse_value,
    refuse_later_flag,
)
from naiad.server.app import App, log_settings
from naiad.server.process import run
from naiad.server.transport.access import read_api_keys
from naiad.telemetry.logs import ServerLog, open_log

_COMPLETED_AS = {"file": "file", "folder": "dir"}
"""What a path is of → what click calls it."""


class _WrongFlags(click.UsageError):
    """Wrong usage of `serve`, which exits with 1, as Triton does."""

    exit_code = 1


class _TableType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """Reads the value of one row of the table of options."""

    envvar_list_splitter = ENVIRONMENT_LIST_SEPARATOR

    def __init__(self, field: str) -> None:
        self.field = field
        self.name = field

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's
        if not isinstance(value, str):
            return value
        try:
            return parse_value(self.field, value)
        except NaiadError as error:
            raise click.UsageError(str(error), ctx) from error

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        row = FIELD_FLAGS[self.name]
        if row.path:
            return [CompletionItem(incomplete, type=_COMPLETED_AS[row.path])]
        choices = ("true", "false") if isinstance(DEFAULTS[self.name], bool) else row.choices
        return [CompletionItem(choice) for choice in choices if choice.lower().startswith(incomplete.lower())]


class _TableOption(click.Option):
    """An option that knows under which heading of the help it stands."""

    def __init__(self, declarations: Sequence[str], group: str, **details: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(declarations, **details)
        self.group = group


class _ServeCommand(click.Command):
    """A command whose help is divided as the table of options is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _WrongFlags(_no_such_flag(error.option_name), ctx) from error
        except click.UsageError as error:
            raise _WrongFlags(error.format_message(), ctx) from error
        if rest:
            raise _WrongFlags(f"'{rest[0]}' is not a flag; {_how_to_serve(rest[0])}", ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                sections.setdefault(getattr(parameter, "group", "Other"), []).append(row)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _no_such_flag(flag: str) -> str:
    """Return what to tell whoever gave `flag`; the flags of later work are no better, so they are not proposed."""
    served = [f"--{name}" for field, row in FIELD_FLAGS.items() for name in (flag_name(field), *row.aliases)]
    near = get_close_matches(flag, served, n=1)
    return f"no such flag: '{flag}'; " + (f"did you mean '{near[0]}'?" if near else "naiad serve --help lists them")


def _how_to_serve(given: str) -> str:
    """Return what to do with what was given without a flag."""
    if Path(given).is_file():
        return f"to serve that file, put it into a folder of models: naiad deploy {shlex.quote(given)}"
    return f"to serve that folder: --model-repository={shlex.quote(given)}"


def _metavar(field: str) -> str:
    row, default = FIELD_FLAGS[field], DEFAULTS[field]
    if row.choices:
        return "|".join(row.choices)
    if isinstance(default, bool):
        return "BOOL"
    return "N" if isinstance(default, int) else row.path.upper() or "TEXT"


def _help(field: str) -> str:
    row, default = FIELD_FLAGS[field], DEFAULTS[field]
    text = row.help if row.tritons else f"{row.help} Naiad's own."
    if row.required:
        return f"{text}  [required]"
    if row.switch or default in ("", ()):
        return text
    shown = f"{_as_text(default)} {row.unit}".rstrip()
    return f"{text}  [default: {shown}]"


def _table_options() -> list[click.Parameter]:
    """Return one option for each row of the table, and hidden ones for Triton's flags of later work."""
    served: list[click.Parameter] = []
    for field, row in FIELD_FLAGS.items():
        kind: dict[str, Any] = {"is_flag": True} if row.switch else {"type": _TableType(field)}
        served.append(
            _TableOption(
                [f"--{name}" for name in (flag_name(field), *row.aliases)] + [field],
                group=row.group,
                help=_help(field),
                metavar=None if row.switch else _metavar(field),
                multiple=row.repeatable,
                default=None,
                envvar=environment_name(field),
                **kind,
            )
        )
    return served + [_later_option(flag) for flag in LATER_FLAGS.values()]


def _later_option(flag: LaterFlag) -> click.Parameter:
    def refuse(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> None:
        for value in values:
            try:
                refuse_later_flag(flag, value)
            except NaiadError as error:
                raise click.UsageError(str(error), ctx) from error

    return click.Option([f"--{flag.name}"], hidden=True, multiple=True, expose_value=False, callback=refuse)


def serve_arguments(given: dict[str, Any]) -> list[str]:
    """Return the command line that gives the same values again."""
    arguments: list[str] = []
    for field, value in given.items():
        flag = f"--{flag_name(field)}"
        if FIELD_FLAGS[field].switch:
            arguments += [flag] if value else []
        elif FIELD_FLAGS[field].repeatable:
            arguments += [f"{flag}={_as_text(one)}" for one in value]
        else:
            arguments.append(f"{flag}={_as_text(value)}")
    return arguments


def _as_text(value: object) -> str:
    if isinstance(value, BackendOption):
        return f"{value.backend},{value.key}={value.value}"
    if isinstance(value, RestrictedGroup):
        return f"{','.join(value.categories)}:{value.key}={value.value}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _run(detach: bool, **values: Any) -> None:  # noqa: ANN401 - click's
    """Serve the models of a repository over Triton's protocols, HTTP and gRPC.

    The flags are Triton's; those that this version cannot honour are refused by name. Each may also be given as
    an environment variable: NAIAD_SERVE_HTTP_PORT=9000 is --http-port=9000. Several values are separated by ';'.
    """
    given = {field: value for field, value in values.items() if value not in (None, ())}
    options = ServerOptions(**given)
    for field in given:
        if FIELD_FLAGS[field].note:
            click.echo(f"Notice: --{flag_name(field)} {FIELD_FLAGS[field].note}", err=True)
    if detach:
        # The environment is inherited; a secret that was put there is not to appear in the list of processes.
        said = {field: value for field, value in given.items() if not _is_from_environment(field)}
        _serve_in_background(serve_arguments(said), options)
    else:
        _serve(options)


def _is_from_environment(field: str) -> bool:
    source = click.get_current_context().get_parameter_source(field)
    return source is click.core.ParameterSource.ENVIRONMENT


def _serve_in_background(arguments: Sequence[str], options: ServerOptions) -> None:
    out = console()
    started = background.launch(arguments, options.http_port)
    try:
        with step(out, "Starting the server in the background"):
            server = background.wait_until_ready(started)
    except KeyboardInterrupt:
        background.end(started)
        raise
    out.print(f"  process  {server.pid}")
    for name, url in (("http", server.http_url), ("grpc", server.grpc_url), ("metrics", server.metrics_url)):
        if url:
            out.print(f"  {name:8} {url}")
    out.print(f"  log      {escape(server.log)}")
    out.print("  See it with: naiad status. End it with: naiad stop\n")
    if server.http_url:
        _show_models(out, server, options)


def _show_models(out: Console, server: RunningServer, options: ServerOptions) -> None:
    """Print a started server's models; one whose restrictions forbid that runs all the same."""
    if server.asks_for_certificates:
        out.print("Its models are not shown here: it lets in only clients with a certificate")
        return
    key = read_api_keys(options.api_key_file)[0] if options.api_key_file else ""
    try:
        with client_of(server, api_key=key) as client:
            print_models(out, client)
    except NaiadError as error:
        out.print(f"Its models cannot be shown here: {escape(str(error))}")


def _serve(options: ServerOptions) -> None:
    began_s = time.monotonic()
    log = _open_log(options)
    with ExitStack() as while_running:

        def on_ready(app: App) -> None:
            try:
                while_running.enter_context(registered(_entry(app, options)))
            except UnavailableError as error:  # such as in a container with a read-only file system
                click.echo(f"Notice: naiad status and naiad stop will not find this server: {error}", err=True)
            print_banner(console(), app, options, time.monotonic() - began_s)

        exit_code = run(options, log, on_ready)
    click.get_current_context().exit(exit_code)


def _open_log(options: ServerOptions) -> ServerLog:
    try:
        return open_log(log_settings(options))
    except OSError as error:
        raise InvalidArgumentError(
            f"--log-file={options.log_file} cannot be written: {error.strerror}; give a file in a folder that exists"
        ) from error


def _entry(app: App, options: ServerOptions) -> RunningServer:
    return RunningServer(
        pid=os.getpid(),
        mark=start_mark(os.getpid()),
        http_port=app.http_port if options.allow_http else 0,
        http_url=app.http_url if options.allow_http else "",
        metrics_url=app.metrics_url if options.allow_metrics else "",
        repositories=tuple(str(Path(location).resolve()) for location in options.model_repository),
        since=time.time(),
        exit_timeout_secs=options.exit_timeout_secs,
        log=os.environ.get(background.LOG_VARIABLE, ""),
        certificate=_shown_certificate(options),
        grpc_url=app.grpc_url if options.allow_grpc else "",
    )


def _shown_certificate(options: ServerOptions) -> str:
    shows_one = options.http_use_ssl and not options.http_use_ssl_mutual
    return str(Path(options.http_server_cert).absolute()) if shows_one else ""


command = _ServeCommand(
    "serve",
    callback=_run,
    params=[
        *_table_options(),
        _TableOption(
            ["--detach"],
            group="Naiad",
            is_flag=True,
            help="Start in the background, and return when the server is ready or has failed.",
        ),
    ],
    help=_run.__doc__,
    context_settings={"allow_extra_args": True},  # to tell what to do with them
    epilog="""\b
Examples:
  naiad serve --model-repository=models
  naiad serve --model-repository=models --detach     # then: naiad status, naiad stop
  naiad serve --model-repository=models --http-port=0 --allow-metrics=false
  naiad serve --model-repository=/a --model-repository=/b --exit-on-error=false
  naiad serve --model-repository=models --http-address=0.0.0.0 --grpc-address=0.0.0.0   # open to the network
  naiad serve --model-repository=models --trace-config=level=TIMESTAMPS --trace-config=rate=100 \\
    --trace-config=triton,file=trace.json            # where one request in 100 spends its time

\b
Exit codes: 0 stopped by a signal, all requests finished; 1 could not start, or requests
were cut off when --exit-timeout-secs were over.""",
)
