-- One row per organization of these that this run rolled up, and meter: events and quantity in its current rollups of the
-- month, and what their days add up to.
select
    s.organization_id, r.meter, sum(r.events)::bigint as events, sum(r.quantity) as quantity,
    sum(coalesce((select sum(day.quantity) from unnest(r.daily) as day (quantity)), r.quantity)) as quantity_by_day
from usage_snapshots as s
join rolled_up_snapshots as n on n.organization_id = s.organization_id
join usage_rollups as r on r.snapshot_id = s.id
where s.month = :month and s.is_current and s.organization_id = any (:organizations)
group by s.organization_id, r.meter
