-- One row per invoice of the month, snapshot that it bills, rollup of the snapshot, and item that prices the rollup. A
-- snapshot without rollups, and a rollup that no item prices, have a row too. Void and imported invoices are not
-- included.
select
    i.id as invoice_id, s.organization_id, s.lake_version, r.id as rollup_id, r.meter, r.dimensions::text as dimensions,
    r.segment_start, r.segment_end, r.events, l.item_id
from invoices as i
join organizations as o on o.id = i.organization_id
join invoice_snapshots as n on n.invoice_id = i.id
join usage_as_of as s on s.snapshot_id = n.snapshot_id
left join usage_rollups as r on r.snapshot_id = s.snapshot_id
left join invoice_item_rollups as l on l.invoice_id = i.id and l.rollup_id = r.id
where i.month = :month and i.status <> 'void' and i.origin = 'billed' and o.billing_group = any (:groups)
