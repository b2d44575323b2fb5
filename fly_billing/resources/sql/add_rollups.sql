-- No rows. The rollups of these snapshots. One that is there already is the same by its snapshot's fingerprint; should somebody
-- have changed it by hand, it is put right (and if a finalized invoice billed it, the database refuses). One from before
-- days were kept stays without them.
insert into usage_rollups (id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events, daily)
select id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events, daily
from rolled_up_rollups
on conflict (id) do update set quantity = excluded.quantity, events = excluded.events, daily = excluded.daily
where (usage_rollups.quantity, usage_rollups.events) <> (excluded.quantity, excluded.events)
    or usage_rollups.daily <> excluded.daily
