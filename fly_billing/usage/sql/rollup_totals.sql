-- One row per billing group: its organizations with a snapshot of the month, the events and rollups of these snapshots,
-- and its organizations whose rollups failed. Snapshots that only an invoice keeps are left out.
with rolled_up as (
    select s.organization_id, s.events, count(r.id) as rollups
    from usage_snapshots as s
    left join usage_rollups as r on r.snapshot_id = s.id
    where s.month = :month and s.is_current
    group by s.id
)

select
    o.billing_group, count(u.organization_id) as organizations, cast(coalesce(sum(u.events), 0) as bigint) as events,
    cast(coalesce(sum(u.rollups), 0) as bigint) as rollups, count(f.organization_id) as failures
from organizations as o
left join rolled_up as u on u.organization_id = o.id
left join rollup_failures as f on f.organization_id = o.id and f.month = :month
where o.billing_group = any (:groups)
group by o.billing_group
