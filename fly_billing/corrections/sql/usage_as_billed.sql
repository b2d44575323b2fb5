-- One row per final invoice of these payers in the month and usage snapshot that it, together with its adjustments, bills.
select i.id as invoice_id, i.organization_id as payer_id, s.snapshot_id
from invoices as i
join lateral (
    select snapshot_id from corrected_snapshots as c where c.invoice_id = i.id
    union all
    select snapshot_id from invoice_snapshots as b
    where b.invoice_id = i.id and not exists (select from corrected_snapshots as c where c.invoice_id = i.id)
) as s on true
where i.organization_id = any (:organizations) and i.month = :month and i.status not in ('open', 'void')
    and i.origin = 'billed'
