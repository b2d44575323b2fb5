-- name: record_carried_month
-- No rows. Records the version of the usage table that the month's opening levels are calculated from.
insert into carried_months (month, lake_version) values (:month, :lake_version);

-- name: month_opening_levels
-- One row per series with a level above 0 at the start of the month.
select organization_id, meter, dimensions, series, level from carried_levels where month = :month;

-- name: first_landed_month
-- One row: the first month with landed usage, or null.
select min(month) as month from landed_months;

-- name: delete_carried_month
-- No rows. Deletes the month with its opening levels.
delete from carried_months where month = :month;

-- name: last_carried_month
-- At most one row: the last month, up to :month, with valid opening levels. They are invalid if a day has landed since
-- that has, or once had, usage of an earlier month. They are also invalid if a level is impossible (NaN, Infinity, or
-- more digits than a quantity has): then they are calculated again.
select c.month, c.lake_version
from carried_months as c
where c.month <= :month
    and not exists (
        select from landed_months as m
        join landing_days as d on d.landing_day = m.landing_day
        where m.month < c.month and d.lake_version > c.lake_version
    )
    -- NaN is greater than every number.
    and not exists (
        select from carried_levels as l
        where l.month = c.month and (l.level <= 0 or l.level >= 1e23 or l.level <> trunc(l.level, 15))
    )
order by c.month desc
limit 1;
