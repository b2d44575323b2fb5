"""The readers of JSON, CSV and Parquet agree about every value of objects on an S3 server, too."""

from tests.integration.usage.test_three_readers import *
