-- One row per organization, meter and dimensions whose quantity in the month differs from the one that a finalized invoice
-- and its adjustments bill.
with final as materialized (
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

-- Not those whose current snapshot is the billed one: their quantities are the same rows.
to_compare as materialized (
    select *
    from final
    where organization_id in (
        select f.organization_id
        from final as f
        left join usage_snapshots as s on s.organization_id = f.organization_id and s.month = f.month and s.is_current
        group by f.organization_id
        having count(*) > 1 or bool_or(s.id is distinct from f.snapshot_id)
    )
),

billed as (
    select c.organization_id, r.meter, r.dimensions, sum(r.quantity) as quantity
    from to_compare as c
    join usage_rollups as r on r.snapshot_id = c.snapshot_id
    group by c.organization_id, r.meter, r.dimensions
),

now_used as (
    select s.organization_id, r.meter, r.dimensions, sum(r.quantity) as quantity
    from to_compare as c
    join usage_snapshots as s on s.organization_id = c.organization_id and s.month = c.month and s.is_current
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
