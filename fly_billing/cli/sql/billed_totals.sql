-- One row: organizations, and the finalized invoices of ours that have something to pay, with their items and total. Of one currency: cents of
-- different ones can't be added.
select
    (select count(*) from organizations) as organizations,
    count(*) as invoices,
    coalesce(sum((select count(*) from invoice_items where invoice_items.invoice_id = invoices.id)), 0)::bigint as items,
    coalesce(sum(total_cents), 0)::bigint as total_cents
from invoices
where status in ('finalized', 'paid', 'uncollectible') and origin = 'billed' and total_cents <> 0 and currency = :currency
