-- DuckDB. One row per landed file that brought an event in `billed_events`.
select landing_day, path, count(*) as events, sum(quantity) as quantity
from billed_events
group by landing_day, path
order by landing_day, path
