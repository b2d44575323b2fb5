-- One row per series with a level above 0 at the start of the month: the last event before the month, which reported
-- the level. For one organization and meter. `earlier_events` has all events of the version of the usage table.
select
    dimensions, time, source, id, quantity,
    coalesce(json_extract_string(data, '$."' || getvariable('property') || '"'), '') as value,
    landing_day || '/' || path || ':' || line as place
from earlier_events
where not is_duplicate and organization_id = $organization and meter = $meter and time < $month_start
qualify quantity > 0
    and row_number() over (partition by value order by time desc, source desc, id desc) = 1
order by value
