"""The command line. Heavy libraries load inside the commands, so that `--help` answers at once."""

import click

import bptt


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            if not isinstance(error, bptt.Error):
                raise
            click.echo(f"bptt: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bptt")
def main() -> None:
    """Recurrent cells as data: backpropagation through time derived, proved, compiled and measured."""


@main.command()
def cells() -> None:
    """List the cells that ship with bptt."""
    for name in bptt.zoo():
        click.echo(name)
