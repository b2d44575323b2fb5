-- name: case_totals
-- One row per organization and month with an invoice that is not void: the sum of its totals.
select organization_id, month, currency, sum(total_cents)::bigint as cents
from invoices
where status <> 'void'
group by organization_id, month, currency
order by organization_id, month, currency;

-- name: case_items
-- One row per item of the organization's invoices of the month that are not void, in order.
select
    items.description,
    items.product,
    items.kind,
    items.price_key as price,
    items.organization_id as organization,
    items.quantity,
    items.unit,
    items.amount,
    items.amount_cents as cents
from invoice_items as items
inner join invoices on items.invoice_id = invoices.id
where
    invoices.organization_id = :organization_id
    and invoices.month = :month
    and invoices.status <> 'void'
order by invoices.revision, items.position;

-- name: case_taxes
-- One row: the taxed amount and the tax of the organization's invoices of the month that are not void.
select
    coalesce(sum(taxes.taxable_cents), 0)::bigint as net,
    coalesce(sum(taxes.tax_cents), 0)::bigint as tax
from invoice_taxes as taxes
inner join invoices on taxes.invoice_id = invoices.id
where
    invoices.organization_id = :organization_id
    and invoices.month = :month
    and invoices.status <> 'void';

-- name: case_quantities
-- One row per meter with usage in the month: the quantity of all organizations.
select
    rollups.meter,
    sum(rollups.quantity) as quantity
from usage_rollups as rollups
inner join usage_snapshots as snapshots on rollups.snapshot_id = snapshots.id
where snapshots.is_current and snapshots.month = :month
group by rollups.meter
order by rollups.meter;

-- name: case_rejections
-- One row per reason for which rows of usage files were rejected.
select
    reason,
    count(*) as rejected
from rejected_usage
group by reason
order by reason;

-- name: case_organizations
-- One row per organization.
select
    id,
    currency
from organizations
order by id;
