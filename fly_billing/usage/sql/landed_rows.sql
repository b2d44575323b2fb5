-- One row per landing day: rows of its files that are in the usage table, duplicates included, by the ledger of files.
select f.landing_day, sum(f.accepted + f.duplicate)::bigint as rows
from usage_files as f
group by f.landing_day
having sum(f.accepted + f.duplicate) > 0
