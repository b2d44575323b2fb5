"""Turns Spark's errors into one actionable error.

Spark has no single class for one cause: an error in one stage arrives as that error, and the same error in two stages
that run at once arrives inside another class, with a Java stack trace of hundreds of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fly_billing.errors import ActionableError

# "[USER_RAISED_EXCEPTION] Spark writes the number ... SQLSTATE: P0001", anywhere in a line.
REASON = re.compile(r"\[[A-Z][A-Z0-9_.]+\] +(?P<reason>.+?)(?= SQLSTATE:|$)", re.MULTILINE)
# Spark's advice after an overflow would turn too large a sum into null, which a total skips.
ADVICE = re.compile(r" (Use '|If necessary set ).*")
SUMMARY = "[STAGE_MATERIALIZATION_MULTIPLE_FAILURES]"  # only counts the reasons that follow it


class SparkFailed(ActionableError):
    """Spark could not aggregate a month's usage. No rollup has changed."""


def reasons_of(text: str) -> list[str]:
    """Return each reason that Spark gives once, in its order and without its advice; the first line if it has none."""
    found = REASON.findall("\n".join(line for line in text.splitlines() if SUMMARY not in line))
    reasons = (ADVICE.sub("", reason).rstrip(". ") for reason in found)
    return list(dict.fromkeys(reasons)) or text.strip().splitlines()[:1]


@contextmanager
def actionable_spark_errors() -> Iterator[None]:
    """Raise SparkFailed with Spark's reasons, whatever class Spark wraps them in."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        reasons = "; ".join(reasons_of(str(error)))
        raise SparkFailed(
            f"Spark could not aggregate the month's usage: {reasons}. Fix this and run again, or set"
            " FLY_BILLING_ROLLUP_ENGINE=duckdb to aggregate on one machine"
        ) from error
