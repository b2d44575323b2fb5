-- DuckDB. One row per landed file: landed, accepted, duplicate, rejected. Each is counted from its own table.
with counted as (
    select landing_day, path, 1 as landed, 0 as accepted, 0 as duplicate, 0 as rejected from staged
    union all
    select landing_day, path, 0, 1, 0, 0 from settled where not is_conflict and not is_duplicate
    union all
    select landing_day, path, 0, 0, 1, 0 from settled where not is_conflict and is_duplicate
    union all
    select landing_day, path, 0, 0, 0, 1 from rejected
)

select landing_day, path, sum(landed), sum(accepted), sum(duplicate), sum(rejected)
from counted
group by landing_day, path
