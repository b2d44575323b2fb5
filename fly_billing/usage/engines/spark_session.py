"""A Spark session that counts as exactly as DuckDB does. Keeps out: what is done in it (`spark_engine`).

What a cluster needs besides (memory, cores, credentials of the storage) is Spark's own to know: `spark-defaults.conf`
in SPARK_CONF_DIR, as for any other program.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fly_billing.settings import SettingsError
from fly_billing.usage.engines.spark_java import choose_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXACT = {
    "spark.sql.session.timeZone": "UTC",
    # What overflows is an error; otherwise it would be null, and a sum without it.
    "spark.sql.ansi.enabled": "true",
    # Otherwise Spark drops decimals of a result that could have more than 38 digits, as soon as it could.
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
}
# Without a cluster nobody else has to reach this Spark.
ON_THIS_MACHINE = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
}


@contextmanager
def open_spark(master: str, options: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """Start Spark at `master`, and stop it in the end; one that runs in this process already is taken, and left.

    Raises SettingsError where pyspark or a Java is missing.
    """
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as missing:
        raise SettingsError(
            "FLY_BILLING_ROLLUP_ENGINE is spark, but pyspark is not installed: install requirements-engines.lock"
            " (in a checkout: `make .venv/.installed-engines`)"
        ) from missing
    choose_java()
    with private_warehouse() as warehouse:
        builder = SparkSession.builder.master(master).appName("fly_billing")
        builder = builder.config("spark.sql.warehouse.dir", str(warehouse))
        if master.startswith("local"):
            # The servers of local-cluster ask the environment where to listen, not the configuration.
            os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
            builder = builder.config(map=dict(ON_THIS_MACHINE))
        ran_before = SparkSession.getActiveSession() is not None
        spark = builder.config(map={**(options or {}), **EXACT}).getOrCreate()
        try:
            yield spark
        finally:
            if not ran_before:
                spark.stop()


@contextmanager
def private_warehouse() -> Iterator[Path]:
    """Make a folder where Spark keeps tables of its own (we write none), and remove it in the end.

    Its name can't be guessed and only this user may use it: a fixed name in a shared /tmp lets another user make the
    folder first, or put a link to somewhere else in its place.
    """
    with tempfile.TemporaryDirectory(prefix="fly_billing-spark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
