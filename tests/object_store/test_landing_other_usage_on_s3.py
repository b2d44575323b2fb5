"""Odd rows, documented Parquet files and silent sources, with landing folder and usage table on an S3 server."""

from tests.integration.usage.test_documented_parquet import *
from tests.integration.usage.test_fuzz import *
from tests.integration.usage.test_silent_sources import *
