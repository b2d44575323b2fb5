-- No rows. Inserts the rows of the plain Parquet files $files into `staged`; `plain_files` has their landing days and
-- paths. Raises an error for a quantity with an exponent, or a time outside of the years 1 to 9999: these files need
-- the other reader.
insert into staged by name
select
    plain_files.landing_day, plain_files.path, rows.file_row_number + 1 as line, '' as raw, rows.id, rows.source,
    rows.type,
    rows.subject,
    if(contains(lower(rows.quantity::varchar), 'e'), error('an exponent'), rows.quantity::varchar) as quantity,
    rows.data,
    if(
        rows.time < timestamptz '0001-01-01 00:00:00+00' or rows.time >= timestamptz '10000-01-01 00:00:00+00',
        error('a time that no text has'), rows.time
    ) as moment
from read_parquet($files, filename = true, file_row_number = true, hive_partitioning = false) as rows
join plain_files on plain_files.file = rows.filename
