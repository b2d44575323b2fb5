"""Compressed files and batches, with the landing folder and the usage table on an S3 server.

Not here: files that decompress to gigabytes, which take long and are read as on a disk.
"""

from tests.integration.usage.test_landing_packed_files import (
    test_a_batch_lands_event_by_event_and_a_bad_one_is_rejected_alone,
    test_a_packed_file_of_several_members_lands_as_a_whole,
    test_a_time_without_zone_is_utc_only_in_files_that_duckdb_wrote,
    test_a_torn_batch_lands_its_complete_events_and_rejects_the_rest_once,
    test_a_torn_packed_file_is_refused_as_a_whole_and_the_rest_of_its_day_lands,
    test_data_that_is_no_object_rejects_its_row_in_every_format,
    test_duckdbs_export_of_the_readmes_lines_lands_like_the_lines,
)

__all__ = [
    "test_a_batch_lands_event_by_event_and_a_bad_one_is_rejected_alone",
    "test_a_packed_file_of_several_members_lands_as_a_whole",
    "test_a_time_without_zone_is_utc_only_in_files_that_duckdb_wrote",
    "test_a_torn_batch_lands_its_complete_events_and_rejects_the_rest_once",
    "test_a_torn_packed_file_is_refused_as_a_whole_and_the_rest_of_its_day_lands",
    "test_data_that_is_no_object_rejects_its_row_in_every_format",
    "test_duckdbs_export_of_the_readmes_lines_lands_like_the_lines",
]
