-- name: invalid_open_invoices
-- One row per open invoice of ours whose month is before the first or after the last month that can be billed. Not here:
-- final invoices, and imported ones.
select id, organization_id, month, currency, total_cents, computed_at
from invoices
where status = 'open' and origin = 'billed' and (month < :first or month > :last)
order by month, organization_id;

-- name: remove_open_invoices
-- No rows. Deletes these invoices if they are open, with all their parts, and records who removed each and why.
with removed as (
    delete from invoices where id = any (:ids) and status = 'open'
    returning id, organization_id, month, currency, total_cents
)
insert into invoice_changes (
    invoice_id, from_status, to_status, changed_by, why,
    removed_organization_id, removed_month, removed_currency, removed_total_cents
)
select
    removed.id, 'open', 'removed', :removed_by, given.reason,
    removed.organization_id, removed.month, removed.currency, removed.total_cents
from removed
join unnest(cast(:ids as uuid []), cast(:reasons as text [])) as given (id, reason) on given.id = removed.id;
