"""Data to stdout, the rest to stderr; colours, tables and progress only where somebody looks."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from promotion_pipeline.text import numbers

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 140
"""Columns of a table that nobody's terminal limits."""


def console(file: TextIO | None = None) -> Console:
    """A console on stdout (or `file`); plain and wide in a pipe, without colour under NO_COLOR."""
    from rich.console import Console

    out = file or sys.stdout
    width = None if out.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=out, width=width, color_system=None if plain else "auto", highlight=False, emoji=False)


def print_json(data: object) -> None:
    """One JSON document on stdout."""
    print_line(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def print_line(text: str = "") -> None:
    """One line of data on stdout, unstyled and unwrapped."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def program() -> str:
    """How to type this program here: by its name, or by its path where the shell would not find it."""
    name = Path(sys.argv[0])
    if name.name != "promotion-pipeline" or shutil.which(name.name) is not None:
        return "promotion-pipeline"
    return os.path.relpath(name) if name.resolve().is_relative_to(Path.cwd()) else str(name)


def shell_name(name: str) -> str:
    """The name of an experiment as one types it in a shell."""
    return shlex.quote(name)


def note(text: str) -> None:
    """One line for the person at the terminal, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout; numbers to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[number]) for row in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console().print(table)


def _is_number(cell: object) -> bool:
    text = str(cell).strip().removeprefix("over ").removesuffix("%").strip().replace(",", "").replace("+", "")
    return text in {"", "-"} or text.lstrip("-").replace(".", "", 1).isdigit()


def styled(text: str, style: str) -> Any:
    """Text in a style, for a cell of a table."""
    from rich.text import Text

    return Text(text, style=style)


def print_styled(text: str, style: str = "") -> None:
    """One line of data on stdout in a style; words wrap at the terminal's edge."""
    console().print(styled(text, style))


percent = partial(numbers.percent_text, unknown=numbers.DASH)
rate = partial(numbers.rate_text, unknown=numbers.DASH)
confidence = partial(numbers.confidence_text, unknown=numbers.DASH)
number = partial(numbers.count_text, unknown=numbers.DASH)
milliseconds = partial(numbers.milliseconds_text, unknown=numbers.DASH)
share = partial(numbers.share_text, unknown=numbers.DASH)
when = partial(numbers.instant_text, unknown=numbers.DASH)
"""Cells of tables: what is not known is a dash."""


QUICK_SECONDS = 2.0
"""What ends sooner needs no bar."""


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr once the body runs for two seconds; call the yielded function with the fraction done.

    Silent in a pipe.
    """
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console(sys.stderr), transient=True)
    task = bar.add_task(title, total=None)
    begin = threading.Timer(QUICK_SECONDS, bar.start)
    begin.daemon = True
    begin.start()
    try:
        yield lambda fraction: bar.update(task, total=1.0, completed=fraction)
    finally:
        begin.cancel()
        begin.join()
        bar.stop()


def _ignore(_fraction: float) -> None:
    """What a silent bar does."""


class Steps:
    """Numbered steps on stderr, each with its seconds; a bar while one runs on a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0
        self.seconds: dict[str, float] = {}
        """Title -> seconds it took."""

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Callable[[float], None]]:
        """Run the body as the next step; call the yielded function with the fraction done."""
        self._number += 1
        label = f"[{self._number}/{self._total}] {title}"
        started = time.perf_counter()
        with progress(label.replace("[", "\\[", 1)) as advance:
            yield advance
        self.seconds[title] = time.perf_counter() - started
        note(f"{label} ({numbers.seconds_text(self.seconds[title])})")
