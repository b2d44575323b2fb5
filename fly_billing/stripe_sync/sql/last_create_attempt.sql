-- One row: when an invoice of the month was last asked for in Stripe; null: never, so far as we know.
select max(a.sent_at) as sent_at
from invoices as i
join stripe_attempts as a on a.invoice_id = i.id
where i.month = :month and a.step = 'create'
