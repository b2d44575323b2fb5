-- One row per invoice of this list that is finalized and ours to sync.
select
    invoices.id, invoices.organization_id, organizations.name as organization_name, invoices.month, invoices.revision,
    invoices.currency, invoices.total_cents
from invoices
join organizations on organizations.id = invoices.organization_id
where invoices.id = any (:ids) and invoices.status <> 'open' and invoices.origin = 'billed'
order by invoices.organization_id, invoices.revision
