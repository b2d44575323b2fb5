-- One row per finalized invoice of the month, of all groups, that Stripe is to have and does not have yet, so far as
-- we know; the same as invoices_to_sync, with what counting its calls needs.
select
    invoices.organization_id, invoices.currency, invoices.total_cents, stripe_invoices.state,
    stripe_invoices.stripe_invoice_id is not null as has_draft,
    organizations.stripe_customer_id is not null as has_customer,
    (select count(*) from invoice_items where invoice_items.invoice_id = invoices.id) as items
from invoices
join organizations on organizations.id = invoices.organization_id
left join stripe_invoices on stripe_invoices.invoice_id = invoices.id
where invoices.month = :month
    and invoices.status = 'finalized' and invoices.origin = 'billed'
    and (stripe_invoices.state is null or stripe_invoices.state not in ('finalized', 'skipped_zero'))
order by invoices.organization_id, invoices.revision
