-- No rows. The rollups of these organizations' snapshots. One that is there already is the same by its snapshot's fingerprint;
-- should somebody have changed it by hand, it is put right (and if a finalized invoice billed it, the database refuses). One
-- from before days were kept stays without them.
insert into usage_rollups (id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events, daily)
select r.id, r.snapshot_id, r.meter, r.dimensions, r.segment_start, r.segment_end, r.quantity, r.events, r.daily
from rolled_up_rollups as r
join rolled_up_snapshots as s on s.id = r.snapshot_id
where s.organization_id = any (:organizations)
on conflict (id) do update set
    snapshot_id = excluded.snapshot_id, meter = excluded.meter, dimensions = excluded.dimensions,
    segment_start = excluded.segment_start, segment_end = excluded.segment_end, quantity = excluded.quantity,
    events = excluded.events, daily = excluded.daily
where (
    usage_rollups.snapshot_id, usage_rollups.meter, usage_rollups.dimensions, usage_rollups.segment_start,
    usage_rollups.segment_end, usage_rollups.quantity, usage_rollups.events
) is distinct from (
    excluded.snapshot_id, excluded.meter, excluded.dimensions, excluded.segment_start, excluded.segment_end,
    excluded.quantity, excluded.events
)
or usage_rollups.daily <> excluded.daily
