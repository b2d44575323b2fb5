-- One row per month in which the organization has an invoice or a failure to make one, newest first. `trouble` is what
-- the customer is told; :waiting where the invoice was finalized before :late_since and is not in Stripe, whatever the reason.
select
    i.id, coalesce(i.month, f.month) as month, i.status, coalesce(i.currency, o.currency) as currency, i.total_cents,
    coalesce(i.finalized_at, i.computed_at) as as_of, i.due_on, s.stripe_invoice_id, s.hosted_invoice_url,
    coalesce(
        f.customer_text, s.failure_customer_text, p.customer_text,
        case
            when i.status = 'finalized' and i.origin = 'billed' and i.total_cents <> 0 and i.finalized_at < :late_since
                and coalesce(s.state, 'pending') not in ('finalized', 'skipped_zero')
            then :waiting
        end
    ) as trouble
from organizations as o
left join (
    select organization_id, month from invoices
    union
    select organization_id, month from billing_failures
) as m on m.organization_id = o.id
left join invoices as i on i.organization_id = o.id and i.month = m.month
left join billing_failures as f on f.organization_id = o.id and f.month = m.month
left join stripe_invoices as s on s.invoice_id = i.id
left join payment_failures as p on p.invoice_id = i.id
where o.id = :organization_id and m.month is not null
order by month desc, i.revision
