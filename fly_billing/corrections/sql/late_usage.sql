-- name: meters_of_levels
-- One row per meter whose events are levels, each valid until the next one.
select key
from meters
where aggregation = 'time_weighted'
order by key;

-- name: snapshots_changed_since
-- One row per organization whose usage of the month changed since these invoices billed it: the billed version of the
-- usage table, and the current one.
select b.organization_id, b.lake_version as billed_version, n.lake_version as version
from invoices as i
join invoice_snapshots as s on s.invoice_id = i.id
join usage_as_of as b on b.snapshot_id = s.snapshot_id
join usage_as_of as n on n.organization_id = b.organization_id and n.month = b.month and n.is_current
where i.id = any (:invoices) and i.month = :month and n.snapshot_id <> b.snapshot_id
order by b.organization_id;
