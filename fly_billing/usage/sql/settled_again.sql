-- DuckDB. One row per row that orphaned days have in the usage table: they are settled again, beside what lands.
insert into settled_again
select
    landing_day, path, line, source, id, meter, organization_id, time, quantity, dimensions, data,
    not is_duplicate as was_accepted
from lake
where landing_day in (select landing_day from orphaned_days)
