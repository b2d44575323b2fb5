-- Fills `quantities` from `reduced_usage`, the result of another engine (`sql_spark/spark_engine.sql`): one row per
-- organization, meter, dimensions and segment. Adds the segment's end, and writes `daily` as `roll_up_usage.sql` does.
insert into quantities
select
    organization_id, meter, dimensions, segment_start, segment_end, quantity, events,
    '{' || array_to_string(list_transform(
        range(1, getvariable('days') + 1), lambda day: coalesce(by_day[day]::varchar, '0')
    ), ',') || '}' as daily
from reduced_usage
join billed_organizations on billed_organizations.id = reduced_usage.organization_id
join segments using (meter, segmentation, segment_start)
