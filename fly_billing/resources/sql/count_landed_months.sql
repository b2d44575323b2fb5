-- DuckDB. One row per landing day and month (its first day) of accepted events.
select landing_day, cast(date_trunc('month', utc(time)) as date), count(*)
from settled
where not is_conflict and not is_duplicate and list_contains($days, landing_day)
group by all
order by all
