"""Every error that the product raises on purpose.

    PromotionError
    |- ConfigError               a setting or threshold is unknown or out of bounds
    |- InputError                a caller's value cannot be used (naive datetime, bad file, bad split)
    |- NotFoundError             no such experiment, promotion, approval or label
    |- NotEligibleError          the contract checks do not pass
    |  `- WithheldError          eligible, but an unattended promotion needs more than that
    |- ConflictError             the state does not allow the act
    |  |- AlreadyPromotedError   a live promotion exists already
    |  |- HeldError              automatic promotion is on hold after a rollback
    |  |- UntrustedError         the numbers cannot be trusted, and nobody acknowledged it
    |  |- SplitDriftError        somebody else changed the split since the promotion
    |  `- NothingToRollBackError never promoted, or rolled back already
    |- AdoptionError             a team's own tables cannot be adopted as they are
    |- ForbiddenError            the credential does not allow the act
    `- DependencyError           the database or another service is down
       `- TargetError            what serves the traffic cannot be reached, or does not take or give a split

The exit code of the command line and the status of the HTTP API are read off the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class PromotionError(Exception):
    """Root of every error of this package; the message says what is wrong and what to do next."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "error"


class ConfigError(PromotionError):
    """A setting or threshold is unknown or out of its bounds."""

    exit_code = 2
    http_status = 422
    code = "invalid-configuration"


class InputError(PromotionError):
    """A caller's value cannot be used."""

    exit_code = 2
    http_status = 422
    code = "invalid-input"


class NotFoundError(PromotionError):
    """There is no such experiment, promotion, approval or label."""

    exit_code = 1
    http_status = 404
    code = "not-found"


class NotEligibleError(PromotionError):
    """The contract checks do not pass at the newest complete hour."""

    exit_code = 3
    http_status = 409
    code = "not-eligible"

    def __init__(self, message: str, eligibility: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.eligibility = eligibility
        """The check that it did not pass, as the HTTP API shows it, if it was made."""


class WithheldError(NotEligibleError):
    """Eligible by the contract, but short of what an unattended promotion needs."""

    code = "withheld"


class ConflictError(PromotionError):
    """The state of the experiment does not allow the act."""

    exit_code = 4
    http_status = 409
    code = "conflict"


class AlreadyPromotedError(ConflictError):
    """A live promotion of the experiment exists already."""

    code = "already-promoted"


class HeldError(ConflictError):
    """Automatic promotion of the experiment is on hold."""

    code = "held"


class UntrustedError(ConflictError):
    """The numbers cannot be trusted; whoever promotes all the same must acknowledge it."""

    code = "untrusted"


class SplitDriftError(ConflictError):
    """Somebody else changed the split since the promotion; the overwrite must be confirmed."""

    code = "split-drift"


class NothingToRollBackError(ConflictError):
    """The experiment was never promoted, or its promotion is rolled back already."""

    code = "nothing-to-roll-back"


class AdoptionError(PromotionError):
    """A team's own tables cannot be adopted as they are; nothing was changed. One line for each reason."""

    code = "not-adoptable"

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("nothing was changed, this database cannot be adopted as it is:\n" + "\n".join(self.lines))


class ForbiddenError(PromotionError):
    """The credential does not allow the act."""

    http_status = 403
    code = "forbidden"


class DependencyError(PromotionError):
    """The database or another service that the act needs is down."""

    exit_code = 5
    http_status = 503
    code = "dependency-down"


class TargetError(DependencyError):
    """What serves an experiment's traffic cannot be reached, or does not take or give a split."""

    code = "traffic-target"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        needs_a_person: bool = False,
        is_silent: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """When it wants to be asked again; None: it did not say."""
        self.needs_a_person = needs_a_person
        """Whether waiting alone will not do: a refused token, a flag that is gone."""
        self.is_silent = is_silent
        """Whether it did not answer at all: others that are asked of the same system would wait as long."""
