-- The events of the usage table: valid, each once.
create or replace view accepted as
select id, source, type, subject, time, data, quantity
from read_parquet($judged_files)
where reason is null and key_hash not in (select key_hash from kept_copies)
union all by name
select id, source, type, subject, time, data, quantity from kept_copies
