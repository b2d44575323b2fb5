-- One row per invoice of the month that the Stripe journal knows by an id, or has begun to send.
select s.invoice_id, i.organization_id, s.state, s.stripe_invoice_id
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where i.month = :month
