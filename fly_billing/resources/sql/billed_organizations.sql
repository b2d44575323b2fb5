-- One row per organization of these groups that existed before the month's end: its current usage snapshot and the
-- invoice it has, where there are such.
select
    organizations.id, organizations.currency, organizations.price_book,
    usage_snapshots.id as snapshot_id, usage_snapshots.rolled_up_at, usage_snapshots.lake_version,
    invoices.status as invoice_status
from organizations
left join usage_snapshots
    on usage_snapshots.organization_id = organizations.id and usage_snapshots.month = :month and usage_snapshots.is_current
left join invoices
    on invoices.organization_id = organizations.id and invoices.month = :month and invoices.revision = 0
where organizations.billing_group = any (:groups) and organizations.created_at < :month_end
order by organizations.id
