-- As `sql_duckdb/usage_by_day.sql`: one row per total (organization, meter and dimensions), segment and day with
-- events: their contribution to the month's quantity, and their number. `level_time_by_day.sql` adds the levels.
create or replace temp view usage_by_day as
with added as (
    select
        organization_id, meter, dimensions, segmentation, time,
        case aggregation when 'sum' then quantity when 'count' then 1 else 0 end as quantity
    from accepted_usage
    where aggregation in ('sum', 'count', 'time_weighted')
    union all
    select
        organization_id, meter, dimensions, segmentation, time,
        case aggregation
            when 'max' then greatest(quantity - coalesce(max(quantity) over before, 0), 0)
            when 'unique' then if(row_number() over same_value = 1, 1, 0)
            when 'latest' then if(row_number() over latest_first = 1, quantity, 0)
        end
    from (
        select accepted_usage.*, coalesce(cast(aggregation_group as string), accepted_usage.dimensions) as whole
        from accepted_usage
        left join aggregation_groups
            on aggregation_groups.organization_id = accepted_usage.organization_id
            and aggregation_groups.meter = accepted_usage.meter
            and aggregation_groups.dimensions = accepted_usage.dimensions
        where aggregation in ('max', 'unique', 'latest')
    )
    window
        before as (
            partition by organization_id, meter, whole order by time, source, id
            rows between unbounded preceding and 1 preceding
        ),
        same_value as (partition by organization_id, meter, whole, value order by time, source, id),
        latest_first as (partition by organization_id, meter, whole order by time desc, source desc, id desc)
)

select /*+ broadcast(segments) */
    organization_id, added.meter, dimensions, segment_start, day(time) as day, sum(quantity) as quantity,
    count(*) as events
from added
join segments
    on segments.meter = added.meter and segments.segmentation = added.segmentation
    and added.time >= segments.segment_start and added.time < segments.segment_end
group by organization_id, added.meter, dimensions, segment_start, day(time)
