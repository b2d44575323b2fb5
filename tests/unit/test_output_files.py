"""A requested file is complete or absent, and an existing file stays unless the caller allows to replace it."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fly_billing.focus.exports.columns import COLUMNS
from fly_billing.focus.exports.files import new_file
from fly_billing.output_files import OutputExists, OutputNotWritten, is_stream, output_file

ROOT = Path(__file__).parents[2]


def write(path: Path, content: bytes = b"whole", *, overwrite: bool = False) -> None:
    with output_file(path, overwrite=overwrite) as file:
        file.write(content)


def test_a_new_file_is_complete_alone_and_has_the_usual_rights(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    write(tmp_path / "bill.html")
    assert (tmp_path / "bill.html").read_bytes() == b"whole"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bill.html", "usual"]
    assert (tmp_path / "bill.html").stat().st_mode == usual.stat().st_mode


def test_an_existing_file_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "bill.html"
    path.write_bytes(b"mine")
    path.chmod(0o640)
    with pytest.raises(
        OutputExists, match=r"bill.html exists already: choose another file, or replace it with --overwrite"
    ):
        write(path)
    assert path.read_bytes() == b"mine"
    write(path, overwrite=True)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"whole", 0o640)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt, FileNotFoundError, ValueError])
def test_a_failed_export_changes_nothing(tmp_path: Path, overwrite: bool, problem: type[BaseException]) -> None:
    path = tmp_path / "bill.html"
    if overwrite:
        path.write_bytes(b"mine")
    with pytest.raises(problem), output_file(path, overwrite=overwrite) as file:
        file.write(b"half")
        raise problem
    assert {left: left.read_bytes() for left in tmp_path.iterdir()} == ({path: b"mine"} if overwrite else {})


def test_a_file_that_appears_during_an_export_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "bill.html"
    with pytest.raises(OutputExists), output_file(path) as file:
        file.write(b"whole")
        path.write_bytes(b"somebody else's")
    assert {left: left.read_bytes() for left in tmp_path.iterdir()} == {path: b"somebody else's"}


def test_a_write_through_a_symlink_writes_its_target(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    real, link, dangling = tmp_path / "archive" / "bill", tmp_path / "latest", tmp_path / "dangling"
    real.write_bytes(b"mine")
    link.symlink_to(real)
    dangling.symlink_to(tmp_path / "archive" / "new")
    with pytest.raises(OutputExists):
        write(link)
    write(link, overwrite=True)
    write(dangling)
    assert (link.is_symlink(), real.read_bytes()) == (True, b"whole")
    assert (dangling.is_symlink(), (tmp_path / "archive" / "new").read_bytes()) == (True, b"whole")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_is_one_line_with_the_fix(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "missing" / "bill", f"No such file or directory: create the folder {tmp_path}/missing first"),
        (tmp_path, "is a folder: name a file inside it"),
        (tmp_path / "file" / "bill", "Not a directory: choose another file"),
        (tmp_path / ("x" * 300), "File name too long: choose another file"),
    ):
        with pytest.raises(OutputNotWritten) as refused:
            write(path, overwrite=overwrite)
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_name_of_the_maximum_length_is_accepted(tmp_path: Path) -> None:
    write(tmp_path / ("x" * 255))
    assert [file.name for file in tmp_path.iterdir()] == ["x" * 255]


FULL = """
import resource, signal, sys
from pathlib import Path
from fly_billing.output_files import OutputNotWritten, output_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with output_file(Path(sys.argv[1]), overwrite=True) as file:
        file.write(b"x" * 100_000)
except OutputNotWritten as problem:
    print(problem)
"""


def run(program: str, argument: str) -> bytes:
    """Run a program with one argument; return its output."""
    command = [sys.executable, "-c", program, argument]
    return subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, timeout=600, check=True).stdout


def test_a_write_to_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "bill"
    path.write_bytes(b"mine")
    assert b"can't be written: File too large" in run(FULL, str(path))
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == {path: b"mine"}


def test_a_pipe_gets_the_complete_file_or_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert is_stream(pipe)
    with pytest.raises(RuntimeError), output_file(pipe) as file:  # without a reader, opening it would wait for ever
        file.write(b"half")
        raise RuntimeError
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write(pipe, b"whole" * 100_000)
    reader.join()
    assert got == [b"whole" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


TO_STDOUT = """
import sys
from pathlib import Path
from fly_billing.output_files import output_file
with output_file(Path(sys.argv[1])) as file:
    file.write(b"whole")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_write_to_standard_output_keeps_the_earlier_lines_of_a_log(tmp_path: Path, name: str) -> None:
    assert run(TO_STDOUT, name) == b"whole"
    log = tmp_path / "log"
    log.write_bytes(b"before ")
    with log.open("ab") as file:
        subprocess.run([sys.executable, "-c", TO_STDOUT, name], stdout=file, cwd=ROOT, timeout=600, check=True)
    assert log.read_bytes() == b"before whole"


def test_a_write_to_a_device_keeps_the_device() -> None:
    write(Path("/dev/null"), overwrite=True)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_focus_files_of_both_formats_go_through_a_pipe(tmp_path: Path, file_format: str) -> None:
    pipe, names = tmp_path / "pipe", [column.name for column in COLUMNS]
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with new_file(pipe, file_format, "1.2") as writing:
        writing([])
    reader.join()
    if file_format == "csv":
        assert next(csv.reader(io.StringIO(got[0].decode()))) == names
    else:
        assert pq.read_table(io.BytesIO(got[0])).column_names == names
