-- DuckDB. One row per landing day and month (its first day): accepted events, and all rows for the usage table.
select
    landing_day, cast(date_trunc('month', utc(time)) as date), count(*) filter (not is_duplicate), count(*)
from settled
where not is_conflict
group by all
order by all
