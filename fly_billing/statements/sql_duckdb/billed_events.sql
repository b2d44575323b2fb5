-- name: billed_events
-- One row per accepted event of a rollup in `billed`, matched as `roll_up_usage.sql` does it. `measured` is the
-- quantity as it landed, `quantity` as the meter counts it (rounded, if the meter rounds each event). `value` is the
-- value of the property that the meter's aggregation names, or null.
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
-- No rows. Creates the macro `counted_quantity(measured)`: the quantity of an event, rounded as the variables
-- `event_step` and `event_round` of its meter say, like `accepted_usage.sql`. Both are null for a meter that does not
-- round.
create or replace temp macro counted_quantity(measured) as
cast(case
    when getvariable('event_round') is null then measured
    when getvariable('event_round') = 'up' and measured % getvariable('event_step')::decimal(38, 15) > 0
        then measured - measured % getvariable('event_step')::decimal(38, 15)
            + getvariable('event_step')::decimal(38, 15)
    else measured - measured % getvariable('event_step')::decimal(38, 15)
end as decimal(38, 15));

-- name: files_of_billed_events
-- One row per landed file with an event in `billed_events`.
select landing_day, path, count(*) as events, sum(quantity) as quantity
from billed_events
group by landing_day, path
order by landing_day, path;
