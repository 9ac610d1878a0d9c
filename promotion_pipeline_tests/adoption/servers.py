"""PostgreSQL servers of other versions, for the matrix: those that are installed on this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

INSTALLED = Path("/usr/lib/postgresql")


def binaries_of(version: int) -> Path | None:
    """The folder of a version's programs, where Debian puts them."""
    folder = INSTALLED / str(version) / "bin"
    return folder if (folder / "postgres").exists() else None


@contextlib.contextmanager
def running(binaries: Path, encoding: str = "UTF8") -> Iterator[str]:
    """A server with nothing in it; yields a URL with {} for the database. It ends with the context."""
    as_user = {} if os.getuid() else {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="adoption-") as folder:
        if as_user:
            os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
        options = ["-U", "postgres", "--auth=trust", "--no-sync", f"--encoding={encoding}", "--locale=C"]
        subprocess.run(
            [binaries / "initdb", "-D", f"{folder}/data", *options],
            check=True,
            capture_output=True,
            cwd="/",
            **as_user,  # type: ignore[call-overload]
        )
        settings = ["-c", "fsync=off", "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
        server = subprocess.Popen(
            [binaries / "postgres", "-D", f"{folder}/data", *settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **as_user,  # type: ignore[call-overload]
        )
        try:
            deadline = time.monotonic() + 30
            while subprocess.run([binaries / "pg_isready", "-q", "-h", folder], check=False).returncode:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)
            yield f"postgresql://postgres@/{{}}?host={folder.replace('/', '%2F')}"
        finally:
            server.terminate()
            server.wait(60)
