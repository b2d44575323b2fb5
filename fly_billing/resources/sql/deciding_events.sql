-- DuckDB. One row per event of the month that decides a quantity: under `max` each that was higher than all before it, under
-- `unique` the first of each value, under `latest` the last, each of the sets of dimensions in `billed`; under
-- `time_weighted` every one, as one under other dimensions ends a level. Of one organization and meter.
select
    dimensions, time, source, id, quantity,
    coalesce(json_extract_string(data, '$."' || getvariable('property') || '"'), '') as value,
    landing_day || '/' || path || ':' || line as place
from events
where not is_duplicate and organization_id = $organization and meter = $meter
    and ($aggregation = 'time_weighted' or dimensions in (select dimensions from billed))
window
    before as (
        partition by dimensions order by time, source, id rows between unbounded preceding and 1 preceding
    ),
    same_value as (partition by dimensions, value order by time, source, id),
    latest_first as (partition by dimensions order by time desc, source desc, id desc)
qualify case $aggregation
    when 'max' then quantity > coalesce(max(quantity) over before, -1)
    when 'unique' then row_number() over same_value = 1
    when 'latest' then row_number() over latest_first = 1
    else true
end
order by time, source, id
