-- `carried_levels` from the start of a month to the start of the next one: one row per organization, meter and
-- series that holds more than 0 then, with the dimensions under which it was told last. `events` are those of the month
-- between, of all organizations.
create or replace temp table carried_levels as
with told as (
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
    organization_id, meter, coalesce(told.dimensions, carried_levels.dimensions) as dimensions, series,
    coalesce(told.level, carried_levels.level) as level
from carried_levels
full join told using (organization_id, meter, series)
where coalesce(told.level, carried_levels.level) > 0
