"""Opens Spark sessions with exact arithmetic. Not here: the work done in them (`spark_engine`).

Configure the cluster (memory, cores, storage credentials) as for any Spark program: in `spark-defaults.conf` in
SPARK_CONF_DIR.
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
    # Overflow raises an error. Otherwise it would become null, and sums would skip it.
    "spark.sql.ansi.enabled": "true",
    # By default, Spark drops decimals as soon as a result's type could exceed 38 digits.
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
}
# Without a cluster, no other machine needs to reach Spark.
ON_THIS_MACHINE = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
}


@contextmanager
def open_spark(master: str, options: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """Start Spark at `master` and stop it afterwards. Uses a session of this process if there is one, and keeps it.

    Raises SettingsError if pyspark or Java is missing.
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
            # The processes of local-cluster read their address from the environment, not from the configuration.
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
    """Create a folder for Spark's own tables (fly_billing writes none), and delete it afterwards.

    The name is random and the folder is private. In a shared /tmp, another user could create a folder with a fixed
    name first, or replace it by a link.
    """
    with tempfile.TemporaryDirectory(prefix="fly_billing-spark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
