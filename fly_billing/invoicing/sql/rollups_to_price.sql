-- One row per usage rollup of these snapshots; dimensions as text, as many rows have the same ones.
select usage_snapshots.organization_id, r.id, r.meter, r.dimensions::text as dimensions, r.segment_start, r.segment_end, r.quantity
from usage_rollups as r
join usage_snapshots on usage_snapshots.id = r.snapshot_id
where r.snapshot_id = any (:snapshots)
order by usage_snapshots.organization_id, r.meter, r.dimensions, r.segment_start
