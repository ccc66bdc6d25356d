"""The command about the shell: completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and cells.

    \b
    bash:  bptt completion bash > ~/.local/share/bash-completion/completions/bptt
    zsh:   bptt completion zsh > ~/.zfunc/_bptt      (with ~/.zfunc in fpath, before compinit)
    fish:  bptt completion fish > ~/.config/fish/completions/bptt.fish

    It takes effect in the next shell; for this one: eval "$(bptt completion bash)".
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "bptt", "_BPTT_COMPLETE").source())
