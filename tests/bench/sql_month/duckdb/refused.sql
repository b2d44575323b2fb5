select landing_file, source, id, type, subject, time, landed_quantity, data, reason
from read_parquet($judged_files)
where reason is not null
