-- One row per usage rollup that the item prices, with the snapshot it is from and how its meter adds up.
select
    r.id, r.meter, r.dimensions, r.segment_start, r.segment_end, r.quantity, r.events,
    m.unit, m.aggregation, m.unique_of, m.series, m.time_unit, m.event_step, m.event_round,
    s.id as snapshot_id, s.organization_id, s.lake_version, s.rolled_up_at
from invoice_item_rollups as l
join usage_rollups as r on r.id = l.rollup_id
join usage_snapshots as s on s.id = r.snapshot_id
join meters as m on m.key = r.meter
where l.item_id = :item_id
order by r.dimensions::text collate "C", r.segment_start
