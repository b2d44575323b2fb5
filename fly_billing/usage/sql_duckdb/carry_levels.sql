-- Moves `carried_levels` from the start of a month to the start of the next one: one row per organization, meter and
-- series with a level above 0, with the dimensions of its last event. `earlier_events` are the events of that month, of
-- all organizations.
create or replace temp table carried_levels as
with readings as (
    select
        events.organization_id, events.meter,
        coalesce(json_extract_string(events.data, '$."' || meters.property || '"'), '') as series,
        arg_max(events.dimensions, (events.time, events.source, events.id)) as dimensions,
        arg_max(events.quantity, (events.time, events.source, events.id)) as level
    from earlier_events as events
    join meters on meters.key = events.meter
    where not events.is_duplicate and meters.aggregation = 'time_weighted'
    group by all
)

select
    organization_id, meter, coalesce(readings.dimensions, carried_levels.dimensions) as dimensions, series,
    coalesce(readings.level, carried_levels.level) as level
from carried_levels
full join readings using (organization_id, meter, series)
where coalesce(readings.level, carried_levels.level) > 0
