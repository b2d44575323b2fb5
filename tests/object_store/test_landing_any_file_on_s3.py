"""Files of any name and content, with the landing folder and the usage table on an S3 server.

Not here: tests about links, pipes, permissions, names that are not UTF-8 and files that change, which only a disk has.
`test_object_stores` has the objects' own.
"""

import pytest

from tests.integration.usage.test_landing_any_file import (
    ODD_NAMES,
    test_a_column_name_that_is_not_utf8_is_one_rejected_row,
    test_a_csv_file_without_a_header_loses_no_row,
    test_a_day_with_a_hundred_good_files_among_a_hundred_bad_ones_lands_the_good_ones,
    test_a_file_name_is_never_a_pattern_and_each_file_lands_once,
    test_a_file_with_a_repeated_column_is_rejected,
    test_a_folder_that_looks_like_a_column_changes_nothing,
    test_a_line_longer_than_a_mebibyte_is_rejected_alone_and_its_beginning_is_kept,
    test_a_long_file_that_is_torn_near_its_end_lands_none_of_its_rows,
    test_a_name_too_long_for_a_postgres_index_is_cut_and_stays_unique,
    test_a_parquet_file_with_odd_columns_is_accounted_for_and_the_other_files_land,
)

__all__ = [
    "test_a_column_name_that_is_not_utf8_is_one_rejected_row",
    "test_a_csv_file_without_a_header_loses_no_row",
    "test_a_day_with_a_hundred_good_files_among_a_hundred_bad_ones_lands_the_good_ones",
    "test_a_file_name_is_never_a_pattern_and_each_file_lands_once",
    "test_a_file_with_a_repeated_column_is_rejected",
    "test_a_folder_that_looks_like_a_column_changes_nothing",
    "test_a_line_longer_than_a_mebibyte_is_rejected_alone_and_its_beginning_is_kept",
    "test_a_long_file_that_is_torn_near_its_end_lands_none_of_its_rows",
    "test_a_name_too_long_for_a_postgres_index_is_cut_and_stays_unique",
    "test_a_parquet_file_with_odd_columns_is_accounted_for_and_the_other_files_land",
]


@pytest.fixture
def odd_names() -> list[str]:
    """The names that a key of an object can have: those that are UTF-8. The server knows no keys with line ends."""
    return [name for name in ODD_NAMES if name.isascii() and name.isprintable()]
