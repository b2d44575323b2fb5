-- No rows. Snapshots of these organizations that are no longer what the organization used in the month.
update usage_snapshots set is_current = false
from rolled_up_snapshots
where usage_snapshots.month = :month and usage_snapshots.is_current
    and rolled_up_snapshots.organization_id = usage_snapshots.organization_id
    and rolled_up_snapshots.id <> usage_snapshots.id
    and rolled_up_snapshots.organization_id = any (:organizations)
