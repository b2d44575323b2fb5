-- One row per landing day in [:first, :last] that did not land after it ended, so that its usage may be incomplete.
select cast(day as date) as day
from generate_series(cast(:first as timestamp), cast(:last as timestamp), interval '1 day') as days (day)
where not exists (
    select from landing_days
    where landing_days.landing_day = cast(day as date)
        and landing_days.landed_at >= (day + interval '1 day') at time zone 'UTC'
)
order by day
