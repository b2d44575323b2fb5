"""Every aggregation, billed from usage in a bucket: with the landing folder and the usage table on an S3 server."""

from tests.integration.usage.test_aggregations import *
