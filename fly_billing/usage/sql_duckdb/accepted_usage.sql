-- One row per accepted event of the month and of a billed organization, with the terms of its meter.
-- Not here: duplicates. `quantity` is in whole steps if the meter rounds each event (`pricing.rules.aggregations`).
-- `value` is the property that the aggregation names (unique_of, series).
create or replace temp view accepted_usage as
select
    events.source, events.id, events.meter, events.organization_id, events.time, events.dimensions,
    billed_organizations.segmentation, meters.aggregation, meters.time_unit,
    cast(case
        when meters.event_round is null then events.quantity
        when meters.event_round = 'up' and events.quantity % meters.event_step > 0
            then events.quantity - events.quantity % meters.event_step + meters.event_step
        else events.quantity - events.quantity % meters.event_step
    end as decimal(38, 15)) as quantity,
    coalesce(json_extract_string(events.data, '$."' || meters.property || '"'), '') as value
from events
join billed_organizations on billed_organizations.id = events.organization_id
left join meters on meters.key = events.meter
where not events.is_duplicate
