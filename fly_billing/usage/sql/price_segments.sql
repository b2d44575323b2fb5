-- One row per meter and stretch of the month in which none of the meter's prices changes. Half-open, without gaps.
with moments as (
    select key as meter, cast(:month_start as timestamptz) as moment from meters
    union
    select meter, effective_from from prices
    where meter is not null and effective_from > :month_start and effective_from < :month_end
    union
    select meter, effective_until from prices
    where meter is not null and effective_until > :month_start and effective_until < :month_end
)

select
    meter,
    moment as segment_start,
    lead(moment, 1, cast(:month_end as timestamptz)) over (partition by meter order by moment) as segment_end
from moments
