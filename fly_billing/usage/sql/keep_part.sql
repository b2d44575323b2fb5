-- No rows. Keeps what the usage table has of a landing day and usage month that was landed before this was kept.
insert into landed_months (landing_day, month, accepted, rows, files) values (:day, :month, 0, :rows, :files)
on conflict (landing_day, month) do update set rows = excluded.rows, files = excluded.files
