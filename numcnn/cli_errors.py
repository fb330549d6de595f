"""How the command line speaks of what went wrong: one sentence, and an exit code."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from .device import DeviceError


class Commands(TyperGroup):
    """Commands whose expected errors become one sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--debug`` anywhere on the line, not before the command alone."""
        if "--debug" in args:
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except BrokenPipeError:  # who reads our output has seen enough; typer ends quietly
            raise
        except (ValueError, TypeError, OSError, DeviceError, ImportError) as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            typer.echo(f"numcnn: {_sentence(error)}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("numcnn: stopped by Ctrl-C", err=True)
            raise typer.Exit(130) from None


def _sentence(error: Exception) -> str:
    """Return what an error says, without the number that the system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show a warning as one line without source code, and those of one place once."""
    seen = set()

    def show(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if (filename, lineno) not in seen:
            seen.add((filename, lineno))
            typer.echo(f"numcnn: warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield
