-- No rows. The rollups of new snapshots; those of a snapshot that was there before are the same by its fingerprint.
insert into usage_rollups (id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events)
select id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events
from rolled_up_rollups
where not exists (select from usage_rollups where usage_rollups.id = rolled_up_rollups.id)
