"""`python -m bptt`: the command line."""

from .cli import main

main(prog_name="bptt")
