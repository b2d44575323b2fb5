-- DuckDB. One row per organization, meter, dimensions and segment of the month: its exact sum. Duplicates are left out,
-- and organizations that are not billed in this run.
create or replace temp table quantities as
select
    events.organization_id, events.meter, events.dimensions, segments.segment_start, segments.segment_end,
    sum(events.quantity) as quantity, count(*) as events
from events
join segments
    on segments.meter = events.meter
    and events.time >= segments.segment_start and events.time < segments.segment_end
where not events.is_duplicate
    and events.organization_id in (select id from billed_organizations)
group by all
