-- One row per organization and meter whose accepted usage differs between two versions of the usage table. `late`: rows
-- that only the later version has; `corrected`: rows that were changed or withdrawn.
with before as (
    select organization_id, meter, source, id, time, quantity, dimensions
    from billed
    where not is_duplicate and list_contains($organizations, organization_id)
),

after as (
    select organization_id, meter, source, id, time, quantity, dimensions
    from now
    where not is_duplicate and list_contains($organizations, organization_id)
)

select
    coalesce(after.organization_id, before.organization_id) as organization_id,
    coalesce(after.meter, before.meter) as meter,
    count(*) filter (where before.id is null) as late,
    count(*) filter (where before.id is not null) as corrected
from after
full join before
    on before.source = after.source and before.id = after.id and before.organization_id = after.organization_id
    and before.meter = after.meter
where (before.time, before.quantity, before.dimensions)
    is distinct from (after.time, after.quantity, after.dimensions)
group by all
order by all
