-- DuckDB. No rows. Puts the rows of the plain Parquet files $files, which `plain_files` has with their landing day and path, into
-- `staged`; an error where a quantity is written with an exponent, as that is for another reader.
insert into staged by name
select
    plain_files.landing_day, plain_files.path, rows.file_row_number + 1 as line, '' as raw, rows.id, rows.source, rows.type,
    rows.subject,
    if(contains(lower(rows.quantity::varchar), 'e'), error('an exponent'), rows.quantity::varchar) as quantity,
    rows.data, rows.time as moment
from read_parquet($files, filename = true, file_row_number = true) as rows
join plain_files on plain_files.file = rows.filename
