-- DuckDB and Spark. One row per accepted event of the month and of a billed organization, with how its meter adds up.
-- `value` is that of the property which the aggregation names (unique_of, series). Left out: duplicates.
create or replace temp view accepted_usage as
select
    events.*, meters.aggregation, meters.time_unit,
    coalesce(json_extract_string(events.data, '$."' || meters.property || '"'), '') as value
from events
left join meters on meters.key = events.meter
where not events.is_duplicate and events.organization_id in (select id from billed_organizations)
