"""Cases from public bug reports of billing systems, each with a manually calculated expected amount."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.testing import CaseWorker, read_case, require

CASES = Path(__file__).parents[2] / "cases"
FOLDERS = sorted(path for path in CASES.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def worker(postgres: PostgresServer) -> Iterator[CaseWorker]:
    with CaseWorker(postgres) as worker:
        yield worker


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_case_has_its_expected_total(folder: Path, worker: CaseWorker) -> None:
    require(worker.run(read_case(folder)))
