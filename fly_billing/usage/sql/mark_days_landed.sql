-- No rows. These landing days were landed now, with or without files, into this version of the usage table.
insert into landing_days (landing_day, landed_at, lake_version)
select unnest(cast(:days as date[])), :now, :lake_version
on conflict (landing_day) do update set landed_at = excluded.landed_at, lake_version = excluded.lake_version
