-- One row per invoice and set of dimensions with events in no item or in more than one. Also one row per billed rollup
-- whose number of events differs from the usage table's. `covered` has the organizations that each invoice bills;
-- `billed` has their rollups, with the item that prices each. The first statement counts events by stretch: the events
-- of one organization, meter and dimensions between two moments at which a rollup of the meter begins or ends. They are
-- all in the same rollups.
create or replace temp table counted_events as
with edges as (
    select meter, segment_start as moment from billed
    union
    select meter, segment_end from billed
),

stretches as (
    select meter, moment as since, lead(moment, 1, 'infinity') over (partition by meter order by moment) as until
    from edges
)

select events.organization_id, events.meter, events.dimensions, stretches.since, count(*) as events
from events
semi join covered on covered.organization_id = events.organization_id
left join stretches
    on stretches.meter = events.meter and events.time >= stretches.since and events.time < stretches.until
where not events.is_duplicate
group by all;

with priced as (
    select
        covered.invoice_id, counted_events.organization_id, counted_events.meter, counted_events.dimensions,
        counted_events.since, any_value(counted_events.events) as events, count(billed.item_id) as items
    from counted_events
    join covered on covered.organization_id = counted_events.organization_id
    left join billed
        on billed.invoice_id = covered.invoice_id and billed.organization_id = counted_events.organization_id
        and billed.meter = counted_events.meter and billed.dimensions = counted_events.dimensions
        and counted_events.since >= billed.segment_start and counted_events.since < billed.segment_end
    group by all
),

found as (
    select
        billed.invoice_id, billed.organization_id, billed.meter, billed.dimensions, billed.rollup_id, billed.events,
        coalesce(sum(counted_events.events), 0) as found
    from billed
    left join counted_events
        on billed.organization_id = counted_events.organization_id and billed.meter = counted_events.meter
        and billed.dimensions = counted_events.dimensions
        and counted_events.since >= billed.segment_start and counted_events.since < billed.segment_end
    where billed.item_id is not null
    group by all
)

select
    invoice_id, organization_id, meter, dimensions, sum(events)::bigint as events, 'in ' || items || ' items' as problem
from priced
where items <> 1
group by invoice_id, organization_id, meter, dimensions, items
union all
select
    invoice_id, organization_id, meter, dimensions, events,
    'billed, but the usage table has ' || found as problem
from found
where found <> events
order by all
