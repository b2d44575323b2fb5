-- One row per rolled up organization of these, with whether its snapshot is new. A snapshot that was there before is only
-- confirmed: this later version of the usage table says the same.
insert into usage_snapshots (id, organization_id, month, lake_version, fingerprint, events, rolled_up_at, is_current)
select id, organization_id, :month, :lake_version, fingerprint, events, :now, true
from rolled_up_snapshots
where organization_id = any (:organizations)
on conflict (id) do update set is_current = true, lake_version = excluded.lake_version, rolled_up_at = excluded.rolled_up_at
returning organization_id, xmax = 0 as is_new
