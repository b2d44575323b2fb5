-- name: own_workspace_records
-- No rows. The workspace owns these records from now on. Those that it owns already stay.
insert into workspace_records (workspace, kind, record_id, record_key)
select :workspace, r.kind, r.record_id, r.record_key
from unnest(cast(:kinds as text []), cast(:ids as text []), cast(:keys as text [])) as r (kind, record_id, record_key)
on conflict (kind, record_id) do nothing;

-- name: release_workspace_records
-- No rows. Nobody owns these records any more.
delete from workspace_records as w
using unnest(cast(:kinds as text []), cast(:ids as text [])) as r (kind, record_id)
where w.kind = r.kind and w.record_id = r.record_id;
