-- No rows. These landing days were landed now, with or without files.
insert into landing_days (landing_day, landed_at)
select unnest(cast(:days as date[])), :now
on conflict (landing_day) do update set landed_at = excluded.landed_at
