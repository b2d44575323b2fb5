-- name: add_carried_month
-- No rows. The month's first levels are known, from this version of the usage table.
insert into carried_months (month, lake_version) values (:month, :lake_version);

-- name: carried_levels_of_month
-- One row per series that holds something when the month begins.
select organization_id, meter, dimensions, series, level from carried_levels where month = :month;

-- name: first_landed_month
-- One row: the first month of which usage was landed (null: none was).
select min(month) as month from landed_months;

-- name: forget_carried_month
-- No rows. Takes the month's first levels away, with the month.
delete from carried_months where month = :month;

-- name: known_carried_month
-- At most one row: the last month, up to :month, whose first levels are known and still hold: no day was landed since they were
-- worked out that brings usage of a month before it, or brought some once. A month with a level that can't be held (NaN, Infinity,
-- more digits than a quantity has) is not known: its levels are worked out again from the usage table.
select c.month, c.lake_version
from carried_months as c
where c.month <= :month
    and not exists (
        select from landed_months as m
        join landing_days as d on d.landing_day = m.landing_day
        where m.month < c.month and d.lake_version > c.lake_version
    )
    -- NaN is greater than any number.
    and not exists (
        select from carried_levels as l
        where l.month = c.month and (l.level <= 0 or l.level >= 1e23 or l.level <> trunc(l.level, 15))
    )
order by c.month desc
limit 1;
