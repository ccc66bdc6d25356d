"""`Overview`: the command `bptt` itself. It loads a command when that is called, and says what there is in groups."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import bptt

from .options import shipped


class Overview(click.Group):
    """A group of commands under headings.

    What a user can cause becomes one message and exit status 2; colours are left out where NO_COLOR is set
    (https://no-color.org).
    """

    def __init__(self, sections: Mapping[str, Mapping[str, str]], **options: Any) -> None:
        """Take heading -> command -> module of `bptt.commands` that has a function of the command's name."""
        super().__init__(**options)
        self.sections = sections
        self.modules = {name: module for section in sections.values() for name, module in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.modules:
            return None
        found: click.Command = getattr(import_module(f"bptt.commands.{self.modules[name]}"), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.modules and not args[0].startswith("-"):
            ctx.fail(f"No such command '{args[0]}'. {self._meant(args[0])}".rstrip())
        return super().resolve_command(ctx, args)

    def _meant(self, name: str) -> str:
        """Return what somebody may have wanted who gives this for a command."""
        if Path(name).suffix in (".cell", ".model") or name in (*shipped(".cell"), *shipped(".model")):
            return f"To derive it: bptt derive {name}"
        near = difflib.get_close_matches(name, self.modules, 1)
        return f"Did you mean '{near[0]}'?" if near else ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.modules))
        for heading, section in self.sections.items():
            lines = []
            for name in section:
                command = self.get_command(ctx, name)
                assert command is not None
                lines.append((f"{name:<{width}}", command.get_short_help_str(formatter.width - width - 6)))
            with formatter.section(heading):
                formatter.write_dl(lines)

    def invoke(self, ctx: click.Context) -> object:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except ValueError as error:
            if not isinstance(error, bptt.Error):
                raise
            click.echo(f"bptt: {error}", err=True)
            ctx.exit(2)
