-- name: missed_statuses
-- One row per invoice of ours whose newest status in Stripe, as recorded, comes after ours: its event never arrived.
with newest as (
    select distinct on (stripe_invoice_id) stripe_invoice_id, status, read_at
    from stripe_invoice_amounts
    order by stripe_invoice_id, number desc
)

select n.stripe_invoice_id, n.status, n.read_at
from newest as n
join stripe_invoices as s on s.stripe_invoice_id = n.stripe_invoice_id and s.state = 'finalized'
join invoices as i on i.id = s.invoice_id
where i.origin = 'billed'
    and array_position(array['finalized', 'uncollectible', 'paid'], i.status)
    < array_position(array['open', 'uncollectible', 'paid'], case n.status when 'void' then 'paid' else n.status end)
order by n.stripe_invoice_id;
