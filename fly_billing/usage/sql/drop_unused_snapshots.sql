-- No rows. Snapshots that are neither current nor billed by any invoice or its adjustments.
delete from usage_snapshots
where month = :month and not is_current
    and not exists (select from invoice_snapshots where invoice_snapshots.snapshot_id = usage_snapshots.id)
    and not exists (select from corrected_snapshots where corrected_snapshots.snapshot_id = usage_snapshots.id)
