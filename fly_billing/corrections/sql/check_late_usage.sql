-- One row per organization, meter and dimensions whose quantity in the month differs from the one that a finalized invoice
-- and its adjustments bill.
with final as (
    select i.id, i.month, b.id as snapshot_id, b.organization_id
    from invoices as i
    join organizations as payers on payers.id = i.organization_id
    join lateral (
        select snapshot_id from corrected_snapshots as c where c.invoice_id = i.id
        union all
        select snapshot_id from invoice_snapshots as s
        where s.invoice_id = i.id and not exists (select from corrected_snapshots as c where c.invoice_id = i.id)
    ) as s on true
    join usage_snapshots as b on b.id = s.snapshot_id
    where i.month = :month and i.status not in ('open', 'void') and i.origin = 'billed'
        and payers.billing_group = any (:groups)
),

billed as (
    select final.organization_id, r.meter, r.dimensions, sum(r.quantity) as quantity
    from final
    join usage_rollups as r on r.snapshot_id = final.snapshot_id
    group by final.organization_id, r.meter, r.dimensions
),

now_used as (
    select s.organization_id, r.meter, r.dimensions, sum(r.quantity) as quantity
    from final
    join usage_snapshots as s on s.organization_id = final.organization_id and s.month = final.month and s.is_current
    join usage_rollups as r on r.snapshot_id = s.id
    group by s.organization_id, r.meter, r.dimensions
)

select
    organization_id, meter, dimensions::text as dimensions,
    coalesce(billed.quantity, 0) as billed_quantity, coalesce(now_used.quantity, 0) as used_quantity
from billed
full join now_used using (organization_id, meter, dimensions)
where coalesce(billed.quantity, 0) <> coalesce(now_used.quantity, 0)
order by organization_id, meter, dimensions
