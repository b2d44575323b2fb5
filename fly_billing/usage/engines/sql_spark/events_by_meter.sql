-- Spark. One row per event of the month and meter that reads it, as `usage.usage_table.MEASUREMENTS` has it for DuckDB.
create or replace temp view events as
with shared as (
    select
        source, id, organization_id, time, data, is_duplicate,
        explode(from_json(
            dimensions, 'array<struct<meter: string, quantity: string, dimensions: string>>'
        )) as measurement
    from landed
    where startswith(dimensions, '[')
)

select source, id, organization_id, time, data, is_duplicate, meter, quantity, dimensions
from landed
where not startswith(dimensions, '[')
union all
select
    source, id, organization_id, time, data, is_duplicate, measurement.meter,
    cast(measurement.quantity as decimal(38, 15)), measurement.dimensions
from shared
