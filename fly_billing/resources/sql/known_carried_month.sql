-- At most one row: the last month, up to :month, whose first levels are known and still hold: no day was landed since they were
-- worked out that brings usage of a month before it, or brought some once.
select c.month, c.lake_version
from carried_months as c
where c.month <= :month
    and not exists (
        select from landed_months as m
        join landing_days as d on d.landing_day = m.landing_day
        where m.month < c.month and d.lake_version > c.lake_version
    )
order by c.month desc
limit 1
