"""What every command shares: the application, its two consoles, its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="Proves, every night, that an estate can be brought back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)
RUNS = Path(os.environ.get("BLACKSTART_RUNS", ".blackstart/runs"))

ConfigFile = Annotated[Path, typer.Option("--config", help="The estate's declaration.")]
LiveFile = Annotated[Path, typer.Option("--live", help="File of the estate that is up.")]
Reports = Annotated[Path, typer.Option("--reports", help="Where records are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
