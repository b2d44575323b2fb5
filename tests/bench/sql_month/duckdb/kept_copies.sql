-- The event to keep of each (source, id) that came more than once: found by hash, decided by key. Of several files, the
-- first one wins.
create or replace table kept_copies as
with repeated as (
    select key_hash from read_parquet($judged_files) where reason is null group by key_hash having count(*) > 1
)

select *
from read_parquet($judged_files)
where reason is null and key_hash in (from repeated)
qualify row_number() over (partition by source, id order by landing_file, time) = 1
