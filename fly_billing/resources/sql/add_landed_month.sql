-- No rows. The day brought accepted usage of the month.
insert into landed_months (landing_day, month, accepted) values (:day, :month, :accepted)
on conflict (landing_day, month) do update set accepted = excluded.accepted
