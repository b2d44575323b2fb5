"""Several meters read one event, with the landing folder and the usage table on an S3 server.

The `platform` of these tests loads their meters into the one on S3.
"""

from tests.integration.usage.test_meters_of_one_event import *
