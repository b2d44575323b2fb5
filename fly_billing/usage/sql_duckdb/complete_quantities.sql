-- Fills `quantities` from `reduced_usage`, which another engine made (`sql_spark/reduced_usage.sql`): one row per
-- organization, meter, dimensions and segment, with where the segment ends, and its days written as in `roll_up_usage.sql`.
insert into quantities
select
    organization_id, meter, dimensions, segment_start, segment_end, quantity, events,
    '{' || array_to_string(list_transform(
        range(1, getvariable('days') + 1), lambda day: coalesce(by_day[day]::varchar, '0')
    ), ',') || '}' as daily
from reduced_usage
join billed_organizations on billed_organizations.id = reduced_usage.organization_id
join segments using (meter, segmentation, segment_start)
