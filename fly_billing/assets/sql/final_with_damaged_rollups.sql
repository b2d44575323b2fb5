-- One row per organization of these billing groups that is on a final invoice of the month, and whose rollups of the month
-- are not what it used.
select f.organization_id, f.reason
from rollup_failures as f
join organizations as o on o.id = f.organization_id
where f.month = :month and o.billing_group = any (:groups)
    and exists (
        select from usage_snapshots as s
        join invoice_snapshots as b on b.snapshot_id = s.id
        join invoices as i on i.id = b.invoice_id
        where s.organization_id = f.organization_id and s.month = f.month and i.status not in ('open', 'void')
    )
order by f.organization_id
