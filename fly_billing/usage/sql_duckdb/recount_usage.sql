-- One row per organization and meter: the month's accepted events and carried levels, aggregated
-- again by a simpler method, without segments and days.
with held as (
    select
        *, lead(time, 1, getvariable('counted_until')) over (
            partition by organization_id, meter, dimensions, series order by place
        ) as until
    from level_readings
),

added_up as (
    select organization_id, meter, count(*) as events, sum(if(aggregation = 'count', 1, quantity)) as quantity
    from accepted_usage
    where coalesce(aggregation, 'sum') in ('sum', 'count')
    group by organization_id, meter
    union all
    select
        accepted_usage.organization_id, accepted_usage.meter, count(*),
        case any_value(aggregation)
            when 'max' then max(quantity)
            when 'unique' then count(distinct value)
            when 'latest' then max_by(quantity, (time, source, id))
        end
    from accepted_usage
    left join aggregation_groups
        on aggregation_groups.organization_id = accepted_usage.organization_id
        and aggregation_groups.meter = accepted_usage.meter
        and aggregation_groups.dimensions = accepted_usage.dimensions
    where aggregation in ('max', 'unique', 'latest')
    group by
        accepted_usage.organization_id, accepted_usage.meter, aggregation_group,
        case when aggregation_group is null then accepted_usage.dimensions end
    union all
    select
        organization_id, meter, count(*) filter (where is_event),
        level_time(
            sum(whole_of(level) * microseconds), sum(decimals_of(level) * microseconds), any_value(time_unit) * 1000000
        )
    from (
        select
            *, greatest(epoch_us(least(until, getvariable('counted_until'))) - epoch_us(time), 0) as microseconds
        from held
    )
    group by organization_id, meter, dimensions
)

select organization_id, meter, sum(events)::bigint as events, sum(quantity) as quantity
from added_up
group by organization_id, meter
having sum(events) > 0 or sum(quantity) > 0
