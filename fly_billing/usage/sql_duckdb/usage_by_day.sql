-- `usage_by_day`: one row per total (`number_totals`), segment and day with events: their contribution to the month's
-- quantity (`pricing.rules.aggregations`), and their number. Events with levels contribute in `level_time_by_day.sql`.
-- Reads the events twice, because keeping them takes more time and memory.
create or replace temp table usage_by_day as
with numbered as not materialized (
    select totals.total, totals.aggregation_group, accepted_usage.*
    from accepted_usage
    join totals
        on totals.organization_id = accepted_usage.organization_id and totals.meter = accepted_usage.meter
        and totals.dimensions = accepted_usage.dimensions
),

added as (
    select
        total, meter, segmentation, time,
        case aggregation when 'sum' then quantity when 'count' then 1 else 0 end as quantity
    from numbered
    where aggregation in ('sum', 'count', 'time_weighted')
    union all
    select
        total, meter, segmentation, time,
        case aggregation
            when 'max' then greatest(quantity - coalesce(max(quantity) over before, 0), 0)
            when 'unique' then if(row_number() over same_value = 1, 1, 0)
            when 'latest' then if(row_number() over latest_first = 1, quantity, 0)
        end
    from numbered
    where aggregation in ('max', 'unique', 'latest')
    window
        before as (
            partition by aggregation_group order by time, source, id rows between unbounded preceding and 1 preceding
        ),
        same_value as (partition by aggregation_group, value order by time, source, id),
        latest_first as (partition by aggregation_group order by time desc, source desc, id desc)
)

select
    added.total, segments.segment_start, day(utc(added.time)) as day, sum(added.quantity) as quantity,
    count(*) as events
from added
join segments
    on segments.meter = added.meter and segments.segmentation = added.segmentation
    and added.time >= segments.segment_start and added.time < segments.segment_end
group by all
