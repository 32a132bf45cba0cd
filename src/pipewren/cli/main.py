"""The `pipewren` command. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from pipewren import __version__
from pipewren.errors import PipewrenError

EXIT_ERROR = 1


class Commands(click.Group):
    """Turns every error of ours into a message and an exit status, never a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except PipewrenError as error:
            click.echo(f"error: {error.message}", err=True)
            context.exit(EXIT_ERROR)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Self-hosted API endpoints from SQL."""


@main.command()
@click.argument(
    "project_dir", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where rows and the store live.")
@click.option("--host", help="The address to listen on (127.0.0.1).")
@click.option("--port", type=int, help="The port to listen on (7181); 0 takes a free one.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A settings file instead of PROJECT_DIR/pipewren.toml.",
)
@click.option(
    "--example", is_flag=True, help="Print a curl line with a token of the project's files."
)
def serve(config: Path | None, example: bool, **flags: Any) -> None:
    """Serve the project in PROJECT_DIR."""
    from pipewren.cli.serve import serve_project

    sys.exit(serve_project(flags, config=config, example=example))


@main.command()
@click.argument(
    "project_dir", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.argument("name", required=False)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where rows and the store live.")
def token(project_dir: Path, name: str | None, data_dir: Path | None) -> None:
    """Print the value of the token NAME, or without NAME the names of all."""
    from pipewren.cli.token import print_tokens

    print_tokens({"project_dir": project_dir, "data_dir": data_dir}, name)


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--params", default="{}", help="The parameters, as a JSON object; - reads them.")
@click.option("--node", help="The node to render; the published one otherwise.")
@click.option("--secrets", default="{}", help="Secrets that the template may use, as JSON.")
@click.option("--jsonl", is_flag=True, help="FILE has one template and its params a line.")
def render(file: IO[bytes], params: str, node: str | None, secrets: str, jsonl: bool) -> None:
    """Print the SQL of a template in FILE, a .pipe file, or - for standard input.

    With --jsonl each line is {"template": "...", "params": {...}}, and so is each answer:
    {"sql": "..."} or {"error": "..."}. Neither a server nor the engine is needed.
    """
    from pipewren.cli.render import render_file, render_lines

    if jsonl:
        render_lines(file, secrets)
    else:
        given = sys.stdin.read() if params == "-" else params
        render_file(file, getattr(file, "name", "pipe"), given, node, secrets)


if __name__ == "__main__":
    main()
