-- One row per month (its start) with finalized invoices that are not in Stripe and that another try can bring there.
select distinct cast(invoices.month as timestamp) at time zone 'UTC' as month
from invoices
left join stripe_invoices on stripe_invoices.invoice_id = invoices.id
where invoices.status = 'finalized' and invoices.origin = 'billed'
    and (
        stripe_invoices.state is null
        or stripe_invoices.state in ('pending', 'drafted', 'filled', 'verified', 'unknown')
        or (stripe_invoices.state = 'failed' and stripe_invoices.retryable)
    )
order by month
