-- One row per event of the month that determines a quantity, for one organization and meter. For `max` these are the
-- events that were higher than all before them, for `unique` the first event of each value, for `latest` the last
-- event, each among the dimensions of its aggregation group (`aggregation_groups`). For `time_weighted` these are all events,
-- because an event under other dimensions ends a level. `measured` is the quantity as it landed, `quantity` as the
-- meter counts it.
with counted as (
    select * replace (counted_quantity(quantity) as quantity), quantity as measured
    from events
    where not is_duplicate and organization_id = $organization and meter = $meter
)

select
    counted.dimensions, time, source, id, quantity,
    coalesce(json_extract_string(data, '$."' || getvariable('property') || '"'), '') as value,
    landing_day || '/' || path || ':' || line as place, measured
from counted
left join aggregation_groups on aggregation_groups.dimensions = counted.dimensions
where ($aggregation = 'time_weighted' or aggregation_group is not null)
window
    before as (
        partition by aggregation_group order by time, source, id rows between unbounded preceding and 1 preceding
    ),
    same_value as (partition by aggregation_group, value order by time, source, id),
    latest_first as (partition by aggregation_group order by time desc, source desc, id desc)
qualify case $aggregation
    when 'max' then quantity > coalesce(max(quantity) over before, -1)
    when 'unique' then row_number() over same_value = 1
    when 'latest' then row_number() over latest_first = 1
    else true
end
order by time, source, id
