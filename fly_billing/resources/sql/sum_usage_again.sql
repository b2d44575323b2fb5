-- DuckDB. One row per organization of this run and meter: the month's accepted events added up once more, plainly.
select organization_id, meter, count(*), sum(quantity)
from events
where not is_duplicate and organization_id in (select id from billed_organizations)
group by organization_id, meter
