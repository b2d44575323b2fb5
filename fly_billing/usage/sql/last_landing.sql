-- One row: the version of the usage table from which on it holds all the landing days in [:first, :last], and the days before them
-- where a meter is time-weighted: what is held may have been told at any time.
select max(lake_version) as lake_version
from landing_days
where landing_day <= :last
    and (landing_day >= :first or exists (select from meters where aggregation = 'time_weighted'))
