"""The flagd definition as a file, for a flagd that watches one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from promotion_pipeline.errors import InputError
from promotion_pipeline.traffic.serving import ServedFlags


def export_flags(served: ServedFlags, path: Path) -> bool:
    """Write the definition to `path`, so that a reader finds the old one or the new one whole, whenever it looks.

    Returns:
        False where the file holds this already: it is left alone, so that nobody reads it again.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        if path.is_file() and path.read_bytes() == served.document:
            return False
        _replace(path, served.document)
    except OSError as error:
        raise InputError(
            f"the flags cannot be written to {path}: {error.strerror or error}; name a file in a folder that this"
            " process may write to"
        ) from None
    return True


def _replace(path: Path, content: bytes) -> None:
    # In the same folder, since only within one file system a rename is atomic; through a link, to what it leads to.
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    # As the umask says: who reads it, flagd, may be another user.
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
