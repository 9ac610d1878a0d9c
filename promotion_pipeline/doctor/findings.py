"""What a check says."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check went."""

    OK = "ok"
    """As it should be."""
    ADVICE = "advice"
    """It works, and could be better."""
    PROBLEM = "problem"
    """It does not work."""
    DOWN = "down"
    """The database cannot be reached."""
    SKIPPED = "skipped"
    """Could not be looked at, because of a problem named before."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str
    status: Status
    message: str
    """What is, in one line."""
    fix: str | None = None
    """The command, or setting, that puts it right; None where nothing is wrong."""

    def __str__(self) -> str:
        label = "OK" if self.status is Status.OK else self.status.value.upper()
        return f"{label:<8} {self.name}: {self.message}" + (f"; fix: {self.fix}" if self.fix else "")

    def to_json(self) -> dict[str, str | None]:
        """JSON values."""
        return {"name": self.name, "status": self.status.value, "message": self.message, "fix": self.fix}


@dataclass(frozen=True)
class CheckOutcome:
    """What a check found, before it is given the check's name."""

    status: Status
    message: str
    fix: str | None = None


def ok(message: str) -> CheckOutcome:
    """All is well."""
    return CheckOutcome(Status.OK, message)


def advice(message: str, fix: str) -> CheckOutcome:
    """It works, and could be better."""
    return CheckOutcome(Status.ADVICE, message, fix)


def problem(message: str, fix: str) -> CheckOutcome:
    """It does not work."""
    return CheckOutcome(Status.PROBLEM, message, fix)


def sql_command(statement: str) -> str:
    """A command for a shell that runs SQL on the product's database, embedded or not, without psql.

    `statement` must come as one line.
    """
    return f"promotion-pipeline db execute {shlex.quote(statement)}"


def sql_text(text: str) -> str:
    """`text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def listed(names: list[str], most: int = 5) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
