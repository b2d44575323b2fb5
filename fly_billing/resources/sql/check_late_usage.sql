-- One row per finalized invoice of the month, meter and dimensions whose quantity is no longer what was billed.
with billed as (
    select i.organization_id, r.meter, r.dimensions, sum(r.quantity) as quantity
    from invoices as i
    join organizations on organizations.id = i.organization_id
    join usage_rollups as r on r.snapshot_id = i.usage_snapshot_id
    where i.month = :month and i.status <> 'open' and i.origin = 'billed' and organizations.billing_group = any (:groups)
    group by i.organization_id, r.meter, r.dimensions
),

now_used as (
    select s.organization_id, r.meter, r.dimensions, sum(r.quantity) as quantity
    from usage_snapshots as s
    join organizations on organizations.id = s.organization_id
    join usage_rollups as r on r.snapshot_id = s.id
    join invoices as i on i.organization_id = s.organization_id and i.month = s.month
    where s.month = :month and s.is_current and i.status <> 'open' and i.origin = 'billed'
        and organizations.billing_group = any (:groups)
    group by s.organization_id, r.meter, r.dimensions
)

select
    organization_id, meter, dimensions::text as dimensions,
    coalesce(billed.quantity, 0) as billed_quantity, coalesce(now_used.quantity, 0) as used_quantity
from billed
full join now_used using (organization_id, meter, dimensions)
where coalesce(billed.quantity, 0) <> coalesce(now_used.quantity, 0)
order by organization_id, meter, dimensions
