-- One row per month (its start) of which Stripe has invoices that can still change: unpaid, or there since :since.
select distinct cast(i.month as timestamp) at time zone 'UTC' as month
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state = 'finalized' and (i.status = 'finalized' or s.finalized_at >= :since)
order by month
