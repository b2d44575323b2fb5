-- DuckDB. One row per meter: accepted events of these organizations, and their quantity.
select meter, count(*), sum(quantity)
from events
where not is_duplicate and list_contains($organizations, organization_id)
group by meter
