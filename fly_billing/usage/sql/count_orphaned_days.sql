-- DuckDB. One row per file of the orphaned days: accepted and duplicate, as settled anew.
select landing_day, path, count(*) filter (not is_duplicate), count(*) filter (is_duplicate)
from settled
where landing_day in (select landing_day from orphaned_days)
group by landing_day, path
