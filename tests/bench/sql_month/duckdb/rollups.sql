-- Exact sums per organization, meter, dimensions and the time in which a price holds. Summed first by the text of the
-- data, which is one value, and then by its dimensions. $price_change: the moment in the month at which prices change.
-- $only_staged: only of organizations with usage in the staged files.
with by_text as (
    select
        subject, type, data,
        if(time < coalesce($price_change, $month_end), $month_start, $price_change) as segment_start,
        sum(quantity) as quantity, count(*) as events
    from accepted
    where
        time >= $month_start and time < $month_end
        and (not $only_staged or subject in (select subject from staged))
    group by all
)

select
    subject as organization_id, $month_start::date as month, meter, app, region, preset, memory, segment_start,
    sum(by_text.quantity) as quantity, sum(events) as events
from by_text
join described using (type, data)
group by all
