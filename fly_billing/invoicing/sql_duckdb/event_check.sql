-- name: rollups_of_invoices_in_duckdb
-- One row per row of `copied_rollups` (`sql/rollups_of_invoices.sql`), with its times. A time that DuckDB can't read is
-- null. Dimensions are written without spaces, as most are in the usage table.
create or replace temp table rollups_of_invoices as
select
    * replace (
        json(dimensions)::varchar as dimensions,
        try_cast(segment_start as timestamptz) as segment_start, try_cast(segment_end as timestamptz) as segment_end
    )
from copied_rollups;

-- name: is_any_rollup_unusual
-- One row: true if a rollup of `rollups_of_invoices` lacks a column, or has a time of another century than now.
select coalesce(bool_or(
    organization_id is null or lake_version is null
    or (
        rollup_id is not null
        and (
            meter is null or dimensions is null or events is null
            or coalesce(segment_start not between '2000-01-01' and '2100-01-01', true)
            or coalesce(segment_end not between '2000-01-01' and '2100-01-01', true)
        )
    )
), false) as is_any_unusual
from rollups_of_invoices;

-- name: delete_unreadable_rollups
-- No rows. Removes the rollups of these organizations.
delete from rollups_of_invoices
where organization_id is null or list_contains($organizations, organization_id);

-- name: versions_of_rollups
-- One row per version of the usage table that invoices billed, with the number of its events in their rollups.
select lake_version, coalesce(sum(events) filter (where rollup_id is not null), 0)::bigint as events
from rollups_of_invoices
group by lake_version
order by lake_version;

-- name: count_events_of_rollups
-- Counts the events of the version `lake_version` by stretch: the events of one organization, meter and dimensions
-- between two moments at which a rollup of the meter begins or ends. They are all in the same rollups.
create or replace temp table counted_events as
with edges as (
    select meter, segment_start as moment
    from rollups_of_invoices
    where lake_version = getvariable('lake_version') and rollup_id is not null
    union
    select meter, segment_end
    from rollups_of_invoices
    where lake_version = getvariable('lake_version') and rollup_id is not null
),

stretches as (
    select meter, moment as since, lead(moment, 1, 'infinity') over (partition by meter order by moment) as until
    from edges
)

select events.organization_id, events.meter, events.dimensions, stretches.since, count(*) as events
from events
left join stretches
    on stretches.meter = events.meter and events.time >= stretches.since and events.time < stretches.until
where not events.is_duplicate
group by all;

-- name: dimensions_to_compare
-- One row per text of dimensions in rollups or in events. Postgres writes the same JSON in another way.
select dimensions from counted_events
union
select dimensions from rollups_of_invoices
where lake_version = getvariable('lake_version') and rollup_id is not null;

-- name: spelled_rollups
-- The rollups of the version `lake_version` that invoices bill, with their dimensions as the usage table writes them
-- for the organization and meter; and in `covered` the organizations that each invoice bills. `spellings` has the
-- canonical form of each text of dimensions.
create or replace temp table covered as
select distinct invoice_id, organization_id
from rollups_of_invoices
where lake_version = getvariable('lake_version');

create or replace temp table billed as
with written as (
    select organization_id, meter, canonical, any_value(dimensions) as dimensions
    from counted_events
    join spellings on spellings.text = counted_events.dimensions
    group by all
)

select
    rollups.invoice_id, rollups.organization_id, rollups.meter,
    coalesce(written.dimensions, spellings.canonical) as dimensions, rollups.segment_start, rollups.segment_end,
    rollups.rollup_id, rollups.events, rollups.item_id
from rollups_of_invoices as rollups
join spellings on spellings.text = rollups.dimensions
left join written
    on written.organization_id = rollups.organization_id and written.meter = rollups.meter
    and written.canonical = spellings.canonical
where rollups.lake_version = getvariable('lake_version') and rollups.rollup_id is not null;

-- name: items_per_event
-- One row per invoice and set of dimensions with events in no item or in more than one. Also one row per billed rollup
-- whose number of events differs from the usage table's. `covered` has the organizations that each invoice bills;
-- `billed` has their rollups, with the item that prices each.
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
order by all;
