-- No rows. The rollups of these snapshots. One that is there already is the same by its snapshot's fingerprint; should somebody
-- have changed it by hand, it is put right (and if a finalized invoice billed it, the database refuses).
insert into usage_rollups (id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events)
select id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events
from rolled_up_rollups
on conflict (id) do update set quantity = excluded.quantity, events = excluded.events
where usage_rollups.quantity <> excluded.quantity or usage_rollups.events <> excluded.events
