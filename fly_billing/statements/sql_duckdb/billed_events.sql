-- name: billed_events
-- One row per accepted event that one of the rollups in `billed` was added up from, as `roll_up_usage.sql` does it.
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
where not events.is_duplicate;

-- name: counted_quantity
-- No rows. Makes the macro `counted_quantity(measured)`: as how much an event counts for the meter whose variables
-- `event_step` and `event_round` are set, as `accepted_usage.sql` has it. Both are null where the meter does not round.
create or replace temp macro counted_quantity(measured) as
cast(case
    when getvariable('event_round') is null then measured
    when getvariable('event_round') = 'up' and measured % getvariable('event_step')::decimal(38, 15) > 0
        then measured - measured % getvariable('event_step')::decimal(38, 15)
            + getvariable('event_step')::decimal(38, 15)
    else measured - measured % getvariable('event_step')::decimal(38, 15)
end as decimal(38, 15));

-- name: files_of_billed_events
-- One row per landed file that brought an event in `billed_events`.
select landing_day, path, count(*) as events, sum(quantity) as quantity
from billed_events
group by landing_day, path
order by landing_day, path;
