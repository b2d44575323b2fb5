-- DuckDB. One row per accepted event that one of the rollups in `billed` was added up from, as `roll_up_usage.sql` does it.
-- `quantity` is as the meter counts it, in whole steps where it rounds each event; `measured` as it landed. `value` is that of the property which the meter's aggregation names, if it does.
create or replace temp table billed_events as
select
    events.time, events.source, events.id, counted_quantity(events.quantity) as quantity,
    events.quantity as measured, events.landing_day, events.path, events.line, billed.rollup_id,
    json_extract_string(events.data, '$."' || getvariable('property') || '"') as value
from events
join billed
    on billed.organization_id = events.organization_id and billed.meter = events.meter
    and billed.dimensions = events.dimensions
    and events.time >= billed.segment_start and events.time < billed.segment_end
where not events.is_duplicate
