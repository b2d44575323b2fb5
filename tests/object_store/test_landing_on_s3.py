"""Every test of landing, with the landing folder and the usage table on an S3 server."""

from tests.integration.usage.test_landing import *
