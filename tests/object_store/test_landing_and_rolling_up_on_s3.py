"""Every test of rollups, with the landing folder and the usage table on an S3 server."""

from tests.integration.usage.test_rollups import *
