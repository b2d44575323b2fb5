-- No rows. The organization's usage of the month can't be billed: what stands in usage_rollups is not what it used.
insert into rollup_failures (organization_id, month, reason, found_at)
values (:organization_id, :month, :reason, :now)
on conflict (organization_id, month) do update set reason = excluded.reason, found_at = excluded.found_at
