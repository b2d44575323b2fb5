-- name: open_invoices
-- One row per open invoice of the month for payers of these billing groups, as it was last calculated.
select
    i.id, i.organization_id, i.revision, i.currency, i.amount, i.total_cents, i.inputs_fingerprint,
    (select count(*) from invoice_items as t where t.invoice_id = i.id) as items
from invoices as i
join organizations as o on o.id = i.organization_id
where i.month = :month and i.status = 'open' and o.billing_group = any (:groups)
order by i.organization_id;
