-- A statement lists the sources of a month's usage: a day's file paths, in which numbers do not matter. Without this
-- index it reads all files of the month: 0.8 s with 5,000 files a day.
create index usage_files_source_idx on usage_files (landing_day, (regexp_replace(path, '[0-9]+', '#', 'g')));
