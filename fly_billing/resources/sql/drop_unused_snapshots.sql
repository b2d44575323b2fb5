-- No rows. Snapshots that are neither current nor billed by any invoice.
delete from usage_snapshots
where month = :month and not is_current
    and not exists (select from invoices where invoices.usage_snapshot_id = usage_snapshots.id)
