-- One row: the last landing day of [:first, :last] up to which all of them are in this version of the usage table,
-- landed after they ended. The day before :first where that one is not.
select coalesce(min(cast(day as date)), cast(:last as date) + 1) - 1 as until
from generate_series(cast(:first as timestamp), cast(:last as timestamp), interval '1 day') as days (day)
where not exists (
    select from landing_days
    where landing_days.landing_day = cast(day as date)
        and landing_days.landed_at >= (day + interval '1 day') at time zone 'UTC'
        and landing_days.lake_version <= :lake_version
)
