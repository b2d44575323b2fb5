-- One row per meter: events and quantity in the current rollups of the month, for these billing groups.
select r.meter, sum(r.events)::bigint as events, sum(r.quantity) as quantity
from usage_snapshots as s
join organizations on organizations.id = s.organization_id
join usage_rollups as r on r.snapshot_id = s.id
where s.month = :month and s.is_current and organizations.billing_group = any (:groups)
group by r.meter
order by r.meter
