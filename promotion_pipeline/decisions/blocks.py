"""A long evaluation in blocks of experiments: each is tried again by itself, and none is written twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pandas as pd
import psycopg

from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.store.database import Store

TRIES = 3
WAIT_SECONDS = 1.0
FORGOTTEN_AFTER = timedelta(days=7)
"""An evaluation that was cut off and not started again by then is taken for given up."""

Tell = Callable[[str], object]
Done = TypeVar("Done")


@dataclass(frozen=True)
class ExperimentBlock:
    """Experiments that are evaluated and written together."""

    number: int
    total: int
    experiments: pd.DataFrame
    ids: list[str] | None
    """Whose rows are replaced; None replaces whatever is there."""

    @property
    def name(self) -> str:
        """What messages call it."""
        names = self.experiments["name"]
        if names.empty:
            return "the only block"
        return f"block {self.number} of {self.total} (experiments {names.iloc[0]!r} to {names.iloc[-1]!r})"


def blocks_of(frame: pd.DataFrame, size: int, ids: list[str] | None) -> list[ExperimentBlock]:
    """The experiments in blocks of `size`; one block replaces whatever is there."""
    distinct = list(frame["experiment_id"].unique())
    if len(distinct) <= size:
        return [ExperimentBlock(1, 1, frame, ids)]
    chosen = [[str(value) for value in distinct[first : first + size]] for first in range(0, len(distinct), size)]
    return [
        ExperimentBlock(number, len(chosen), frame[frame["experiment_id"].isin(own)], own)
        for number, own in enumerate(chosen, start=1)
    ]


def each_block(
    store: Store, blocks: Sequence[ExperimentBlock], act: Callable[[ExperimentBlock], Done], tell: Tell
) -> Iterator[Done]:
    """Do every block and give out what came of it; one that fails is tried again, then left out while the others go on.

    Raises:
        PromotionError: some block failed for good; the message names it and its error.
        DependencyError: the database is down.
    """
    failed: list[tuple[ExperimentBlock, Exception]] = []
    for block in blocks:
        try:
            done = _tried(block, act, tell)
        except (PromotionError, psycopg.Error) as error:
            if len(blocks) == 1:
                raise
            failed.append((block, error))
            with store.connect():
                tell(f"{block.name} is left out: {_line(error)}")
        else:
            yield done
    if failed:
        kind = DependencyError if all(_may_pass(error) for _, error in failed) else PromotionError
        said = "; ".join(f"{block.name}: {_line(error)}" for block, error in failed)
        raise kind(
            f"{len(failed)} of {len(blocks)} blocks failed, the others are written; the same evaluation started again"
            f" does the rest: {said}"
        ) from failed[0][1]


def _tried(block: ExperimentBlock, act: Callable[[ExperimentBlock], Done], tell: Tell) -> Done:
    for attempt in range(1, TRIES):
        try:
            return act(block)
        except (PromotionError, psycopg.Error) as error:
            if not _may_pass(error):
                raise
            tell(f"{block.name} failed ({attempt} of {TRIES} tries): {_line(error)}")
            time.sleep(WAIT_SECONDS * attempt)
    return act(block)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, DependencyError | psycopg.OperationalError)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


@dataclass(frozen=True)
class Notes:
    """Which blocks of one evaluation are written, kept until all are.

    A block counts as written only if what would be written now is the same in every bit.
    """

    store: Store
    evaluation: str
    """Names the window, the experiments, the thresholds and the label."""

    def is_written(self, block: ExperimentBlock, fingerprint: str) -> bool:
        """Whether the evaluation wrote exactly this before it was cut off."""
        with self.store.connect() as connection:
            row = connection.execute(
                "SELECT fingerprint FROM evaluation_blocks WHERE evaluation = %s AND block = %s",
                (self.evaluation, _key(block)),
            ).fetchone()
        return row is not None and row["fingerprint"] == fingerprint

    def note(self, connection: psycopg.Connection[Any], block: ExperimentBlock, fingerprint: str) -> None:
        """Note a block in the transaction that writes its decisions."""
        connection.execute(
            "INSERT INTO evaluation_blocks (evaluation, block, fingerprint) VALUES (%s, %s, %s)"
            " ON CONFLICT (evaluation, block) DO UPDATE SET fingerprint = excluded.fingerprint, written_at = now()",
            (self.evaluation, _key(block), fingerprint),
        )

    def forget(self) -> None:
        """The evaluation is through: asked for once more, it is another one."""
        with self.store.connect() as connection:
            connection.execute(
                "DELETE FROM evaluation_blocks WHERE evaluation = %s OR written_at < now() - %s",
                (self.evaluation, FORGOTTEN_AFTER),
            )


def _key(block: ExperimentBlock) -> str:
    return digest(*(block.ids or ()))


def digest(*parts: object) -> str:
    """A short name of these values."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def fingerprint_of(frames: Sequence[pd.DataFrame]) -> str:
    """Equal for frames that are equal in every bit. O(bytes)."""
    seen = hashlib.blake2b(digest_size=16)
    for frame in frames:
        for name, column in frame.items():
            seen.update(str(name).encode())
            seen.update(_bytes(column))
    return seen.hexdigest()


def _bytes(column: pd.Series[Any]) -> bytes:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy().tobytes() + "\0".join(map(str, column.cat.categories)).encode()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.astype("int64").to_numpy().tobytes()
    if column.dtype.kind in "biuf":
        return column.to_numpy().tobytes()
    codes, distinct = pd.factorize(column)
    return codes.tobytes() + "\0".join(map(str, distinct)).encode()
