-- DuckDB. One row per candidate's key that another landing day, left as it is, has accepted already.
create or replace temp table known as
select
    lake.source, lake.id,
    concat_ws('|', lake.meter, lake.organization_id, epoch_us(lake.time), lake.quantity, lake.dimensions) as content
from lake
where not lake.is_duplicate
    and lake.landing_day not in (select landing_day from replaced)
    and (lake.source, lake.id) in (select (source, id) from candidates)
