-- Every landed row, with the reason if it is refused. `key_hash` finds duplicates without comparing texts.
select
    staged.landing_file, staged.id, staged.source, staged.type, staged.subject, staged.time, staged.data,
    staged.quantity as landed_quantity,
    case
        when regexp_full_match(staged.quantity, '(0|[1-9]\d{0,11})(\.\d{1,6})?')
        then staged.quantity::decimal(18, 6)
    end as quantity,
    hash(staged.source, staged.id) as key_hash,
    case
        when coalesce(staged.id, '') = '' or coalesce(staged.source, '') = '' or coalesce(staged.type, '') = ''
            or coalesce(staged.subject, '') = ''
        then 'missing_field'
        when described.meter is null then 'unknown_meter'
        when organizations.id is null then 'unknown_organization'
        when staged.time is null or not isfinite(staged.time) then 'bad_time'
        when staged.time < $first_month then 'time_too_early'
        when staged.time < organizations.created_at then 'before_organization'
        when staged.time >= $now then 'time_in_future'
        when not regexp_full_match(coalesce(staged.quantity, ''), '(0|[1-9]\d{0,11})(\.\d{1,6})?')
        then 'bad_quantity'
        when described.app is null or described.region is null or described.preset is null
            or described.memory is null
        then 'missing_dimension'
    end as reason
from staged
left join described on described.type = staged.type and described.data = staged.data
left join organizations on organizations.id = staged.subject
