"""The error for a database of another version of the code gives the fix."""

import pytest

from fly_billing.postgres.schema_check import other_than_code


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        ("0038", "which a development version made before the first release; it can't be migrated"),
        ("0039", "is at migration 0039 and this code needs 0041: run `fly-billing migrate`"),
        ("0040", "is at migration 0040 and this code needs 0041: run `fly-billing migrate`"),
        ("0042", "is at migration 0042, but this code ends at 0041: deploy the newer code"),
    ],
)
def test_the_error_for_a_database_of_another_version_names_the_fix(found: str, advice: str) -> None:
    problem = other_than_code("DATABASE_URL (db:5432)", found, oldest="0039", newest="0041")
    assert str(problem).startswith("DATABASE_URL (db:5432) ")
    assert advice in str(problem)
