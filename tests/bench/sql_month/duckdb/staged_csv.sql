-- The rows of CSV files. Every column is read as text, so that no digit is lost. A time is one with a zone.
create or replace view staged as
select
    filename as landing_file, id, source, type, subject, try_cast(time as timestamptz) as time, quantity, data
from read_csv($files, filename = true, header = true, all_varchar = true, delim = ',', quote = '"', escape = '"')
