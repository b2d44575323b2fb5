-- DuckDB and Spark. One row per accepted event of the month and of a billed organization, with how its meter adds up.
-- `value` is that of the property which the aggregation names (unique_of, series). Left out: duplicates.
create or replace temp view accepted_usage as
select
    events.*, billed_organizations.segmentation, meters.aggregation, meters.time_unit,
    coalesce(json_extract_string(events.data, '$."' || meters.property || '"'), '') as value
from events
join billed_organizations on billed_organizations.id = events.organization_id
left join meters on meters.key = events.meter
where not events.is_duplicate
