-- One row per item of the organization's month, newest revision only: the items of its own invoice, or (where somebody pays
-- for it) its items on the payer's.
with newest as (
    select distinct on (i.organization_id) i.*
    from invoices as i
    where i.month = :month
        and (
            i.organization_id = :organization_id
            or exists (
                select from invoice_items as t where t.invoice_id = i.id and t.organization_id = :organization_id
            )
        )
    order by i.organization_id, i.revision desc
)

select
    t.id, t.organization_id, i.organization_id as payer_id, i.month, i.revision, i.status, t.position, t.kind, t.product,
    t.description, t.amount, t.amount_cents, i.currency
from newest as i
join invoice_items as t on t.invoice_id = i.id
where i.organization_id = :organization_id or t.organization_id = :organization_id
order by i.organization_id <> :organization_id, i.organization_id, t.position
