-- One row per organization of this run and meter: events and quantity in its current rollups of the month.
select s.organization_id, r.meter, sum(r.events)::bigint as events, sum(r.quantity) as quantity
from usage_snapshots as s
join rolled_up_snapshots as n on n.organization_id = s.organization_id
join usage_rollups as r on r.snapshot_id = s.id
where s.month = :month and s.is_current
group by s.organization_id, r.meter
