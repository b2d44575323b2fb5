-- One row: the first version of the usage table that contains all landing days in [:first, :last]. If a meter is
-- time-weighted, it contains all earlier days too, because a level may come from any of them.
select max(lake_version) as usage_table_version
from landing_days
where landing_day <= :last
    and (landing_day >= :first or exists (select from meters where aggregation = 'time_weighted'))
