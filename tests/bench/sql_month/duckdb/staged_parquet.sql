-- The rows of Parquet files as they are, with the quantity in a column of its own.
create or replace view staged as
select filename as landing_file, id, source, type, subject, time, quantity, data
from read_parquet($files, filename = true)
