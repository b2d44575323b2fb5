-- DuckDB. One row per event that goes into the lake: accepted ones, and duplicates marked as such.
select * exclude (is_conflict), strftime(utc(time), '%Y-%m') as usage_month
from settled
where not is_conflict
order by landing_day, meter, organization_id, time
