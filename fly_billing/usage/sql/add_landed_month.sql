-- No rows. The day brought usage of the month: accepted events, rows of the usage table (with duplicates), and its files.
insert into landed_months (landing_day, month, accepted, rows, files) values (:day, :month, :accepted, :rows, :files)
on conflict (landing_day, month) do update set accepted = excluded.accepted, rows = excluded.rows, files = excluded.files
