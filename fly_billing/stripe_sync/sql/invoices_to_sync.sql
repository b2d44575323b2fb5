-- One row per finalized invoice of the month that Stripe is to have and does not have yet, so far as we know.
-- Left out: open and void invoices, those settled elsewhere (imported), and those with nothing to pay that are done.
select invoices.id
from invoices
join organizations on organizations.id = invoices.organization_id
left join stripe_invoices on stripe_invoices.invoice_id = invoices.id
where invoices.month = :month
    and invoices.status = 'finalized' and invoices.origin = 'billed'
    and organizations.billing_group = any (:groups)
    and (stripe_invoices.state is null or stripe_invoices.state not in ('finalized', 'skipped_zero'))
order by invoices.organization_id, invoices.revision
