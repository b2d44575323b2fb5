-- name: add_rollups
-- No rows. Adds the rollups of these organizations' snapshots. An existing rollup has the same content, because its
-- snapshot has the same fingerprint. If somebody changed it manually, this restores it, or the database raises an error
-- because a finalized invoice billed it. A rollup from before days were recorded keeps its missing days.
insert into usage_rollups (id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events, daily)
select r.id, r.snapshot_id, r.meter, r.dimensions, r.segment_start, r.segment_end, r.quantity, r.events, r.daily
from rolled_up_rollups as r
join rolled_up_snapshots as s on s.id = r.snapshot_id
where s.organization_id = any (:organizations)
on conflict (id) do update set
    snapshot_id = excluded.snapshot_id, meter = excluded.meter, dimensions = excluded.dimensions,
    segment_start = excluded.segment_start, segment_end = excluded.segment_end, quantity = excluded.quantity,
    events = excluded.events, daily = excluded.daily
where (
    usage_rollups.snapshot_id, usage_rollups.meter, usage_rollups.dimensions, usage_rollups.segment_start,
    usage_rollups.segment_end, usage_rollups.quantity, usage_rollups.events
) is distinct from (
    excluded.snapshot_id, excluded.meter, excluded.dimensions, excluded.segment_start, excluded.segment_end,
    excluded.quantity, excluded.events
)
or usage_rollups.daily <> excluded.daily;

-- name: add_snapshots
-- One row per rolled-up organization of these, and whether its snapshot is new. A snapshot that exists only gets the
-- later version of the usage table, and the rules. :rules has one entry per organization.
insert into usage_snapshots (
    id, organization_id, month, lake_version, fingerprint, events, rolled_up_at, is_current, rules
)
select id, organization_id, :month, :lake_version, fingerprint, events, :now, true, rules
from rolled_up_snapshots
join unnest(cast(:organizations as text[]), cast(:rules as text[])) as r (organization_id, rules)
    using (organization_id)
on conflict (id) do update set is_current = true, lake_version = excluded.lake_version,
    rolled_up_at = excluded.rolled_up_at, rules = excluded.rules
returning organization_id, xmax = 0 as is_new;

-- name: delete_unused_snapshots
-- No rows. Deletes snapshots of these organizations that are neither current nor billed by an invoice or an adjustment.
delete from usage_snapshots
where month = :month and organization_id = any (:organizations) and not is_current
    and not exists (select from invoice_snapshots where invoice_snapshots.snapshot_id = usage_snapshots.id)
    and not exists (select from corrected_snapshots where corrected_snapshots.snapshot_id = usage_snapshots.id);

-- name: delete_rollup_failures
-- No rows. Deletes the failures of organizations whose rollups of the month match the usage table.
delete from rollup_failures where month = :month and organization_id = any (:organizations);

-- name: create_rolled_up_tables
-- No rows. Creates temporary tables for COPY, from which the other statements update the real ones.
create temp table rolled_up_snapshots (id uuid, organization_id text, fingerprint text, events bigint) on commit drop;
create temp table rolled_up_rollups (
    id uuid, snapshot_id uuid, meter text, dimensions jsonb, segment_start timestamptz, segment_end timestamptz,
    quantity numeric, events bigint, daily numeric[]
) on commit drop;

-- name: price_segments
-- One row per meter and segment of the month in which none of the meter's prices changes. Half-open, without gaps.
with moments as (
    select key as meter, cast(:month_start as timestamptz) as moment from meters
    union
    select meter, effective_from from prices
    where meter is not null and effective_from > :month_start and effective_from < :month_end
    union
    select meter, effective_until from prices
    where meter is not null and effective_until > :month_start and effective_until < :month_end
)

select
    meter,
    moment as segment_start,
    lead(moment, 1, cast(:month_end as timestamptz)) over (partition by meter order by moment) as segment_end
from moments;

-- name: groups_to_roll_up
-- One row per billing group of these: the number of its organizations.
select billing_group, count(*) as organizations from organizations where billing_group = any (:groups)
group by billing_group;

-- name: has_random_ids
-- One row: true if the month was begun before ids started with their month (`monthly_ids`).
select exists (select from months_with_random_ids where month = :month) as has_random_ids;

-- name: keep_versions
-- No rows. Writes the last version of the usage table that has their usage to the current snapshots of these
-- organizations: the month's next confirmation is not about them.
update usage_snapshots set lake_version = a.lake_version, rolled_up_at = a.rolled_up_at
from usage_as_of as a
where a.snapshot_id = usage_snapshots.id and a.month = :month and a.is_current
    and a.organization_id = any (:organizations);

-- name: record_rollup_failure
-- No rows. Records that an organization can't be billed for the month, because its rollups differ from its usage.
insert into rollup_failures (organization_id, month, reason, found_at)
values (:organization_id, :month, :reason, :now)
on conflict (organization_id, month) do update set reason = excluded.reason, found_at = excluded.found_at;

-- name: retire_changed_snapshots
-- No rows. Marks snapshots as not current if this roll-up found other usage for their organizations. They keep the last
-- version of the usage table that had their usage.
update usage_snapshots set is_current = false, lake_version = a.lake_version, rolled_up_at = a.rolled_up_at
from rolled_up_snapshots
join usage_as_of as a on a.organization_id = rolled_up_snapshots.organization_id and a.month = :month and a.is_current
where usage_snapshots.id = a.snapshot_id and rolled_up_snapshots.id <> usage_snapshots.id
    and rolled_up_snapshots.organization_id = any (:organizations);

-- name: rolled_up_before
-- One row per current snapshot of these organizations whose rules are known. Without organizations whose last roll-up
-- failed.
select s.organization_id, a.lake_version, s.rules
from usage_snapshots as s
join usage_as_of as a on a.snapshot_id = s.id
where s.month = :month and s.is_current and s.organization_id = any (:organizations) and s.rules is not null
    and not exists (
        select from rollup_failures as f where f.organization_id = s.organization_id and f.month = s.month
    );

-- name: organizations_with_rollups
-- One row per organization with a current rollup of these meters in the month.
select distinct s.organization_id
from usage_snapshots as s
join usage_rollups as r on r.snapshot_id = s.id
where s.month = :month and s.is_current and r.meter = any (:meters);

-- name: are_all_rolled_up
-- One row: true if no other organization than these has a current snapshot of the month.
select not exists (
    select from usage_snapshots as s
    where s.month = :month and s.is_current
        and not exists (select from unnest(cast(:organizations as text[])) as o (id) where o.id = s.organization_id)
) as are_all;

-- name: are_rolled_up_later
-- One row: true if these organizations' rollups, or those of the whole month, are of a later version of the usage table.
select exists (
    select from usage_confirmations as c where c.month = :month and c.lake_version > :lake_version
) or exists (
    select from usage_snapshots as s
    where s.month = :month and s.is_current and s.organization_id = any (:organizations)
        and s.lake_version > :lake_version
) as are_later;

-- name: confirm_snapshots
-- No rows. Records that all current snapshots of the month, except of failed organizations, are also those of this
-- version of the usage table.
insert into usage_confirmations (month, lake_version, rolled_up_at) values (:month, :lake_version, :now)
on conflict (month) do update set lake_version = excluded.lake_version, rolled_up_at = excluded.rolled_up_at;

-- name: mark_snapshots_unchanged
-- No rows. Records that the current snapshots of these organizations are also those of this version of the usage table.
update usage_snapshots set lake_version = :lake_version, rolled_up_at = :now
where month = :month and is_current and organization_id = any (:organizations);

-- name: rolled_up_usage
-- One row per meter of these organizations: the events and the quantity of its current rollups in the month, and the
-- sum of its daily quantities.
select
    s.organization_id, r.meter, sum(r.events)::bigint as events, sum(r.quantity) as quantity,
    sum(coalesce((select sum(day.quantity) from unnest(r.daily) as day (quantity)), r.quantity)) as quantity_by_day
from usage_snapshots as s
join rolled_up_snapshots as n on n.organization_id = s.organization_id
join usage_rollups as r on r.snapshot_id = s.id
where s.month = :month and s.is_current and s.organization_id = any (:organizations)
group by s.organization_id, r.meter;
