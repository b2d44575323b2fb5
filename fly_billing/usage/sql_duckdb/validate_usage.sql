-- `validated`: one row per landed row, with types if it is valid and a reason if it is not. `measured.sql` has the rows
-- of shared types. `described`: the parsed data, once for all rows of a type with the same data, because parsing JSON
-- is most of the work and a resource mostly repeats its data. Not here: duplicates (`deduplicate_usage.sql`).
-- `usage/rules/cells.py` defines valid times, quantities and data. The readers have parsed times (`moment`) and removed
-- exponents. This statement parses `data`, with `exact_object` if DuckDB would not read it exactly. $first_month: the
-- first moment of the first month that can be billed.
create or replace temp table described as
with typed as (
    select
        said.type, said.data as landed_data, meters.key as meter, meters.dimensions as meter_dimensions,
        case when is_plain_object(said.data) then said.data else exact_object(said.data) end as data,
        list_concat(meters.dimensions, if(meters.property is null, [], [meters.property])) as wanted,
        coalesce(meters.needs_quantity, false) as needs_quantity
    from (select distinct type, data from staged) as said
    left join plain_meters as meters on meters.event_type = said.type
),

read as (
    select *, list_transform(wanted, lambda name: json_extract_string(data, '$."' || name || '"')) as found from typed
)

select
    type, landed_data, meter, data, needs_quantity, landed_data is not null and data is null as is_bad_json,
    list_filter(wanted, lambda name, place: found[place] is null) as absent, -- noqa: PRS
    -- Postgres can't store a text with a NUL character.
    contains(array_to_string(found, ''), chr(0)) as has_nul,
    case
        when meter is not null then to_json(map_from_entries(list_transform(
            list_sort(meter_dimensions),
            lambda name: struct_pack(k := name, v := json_extract_string(data, '$."' || name || '"'))
        )))::varchar
    end as dimensions
from read;

create or replace temp table validated as
with typed as (
    select
        staged.landing_day, staged.path, staged.line, staged.source, staged.id,
        if(measured.type is null, described.meter, measured.meter) as meter, organizations.id as organization_id,
        if(measured.type is null, described.dimensions, measured.dimensions) as dimensions, described.data,
        staged.problem,
        described.is_bad_json, organizations.existed_from,
        if(measured.type is null, len(described.absent) > 0, measured.absent is not null) as is_incomplete,
        coalesce(staged.id, '') = '' or coalesce(staged.source, '') = '' or coalesce(staged.type, '') = ''
            or coalesce(staged.subject, '') = '' or (coalesce(staged.time, '') = '' and staged.moment is null)
            or if(
                measured.type is null, coalesce(staged.quantity, '') = '' and described.needs_quantity,
                measured.is_unmeasured
            ) as is_partial,
        described.has_nul or coalesce(measured.has_nul, false) or contains(staged.id, chr(0))
            or contains(staged.source, chr(0)) as has_nul,
        staged.moment as time,
        -- The cast would round more than 15 decimals, so such a quantity is invalid. The narrow cast takes a hundredth
        -- of the time of the wide one.
        case
            when measured.type is not null then measured.quantity
            when coalesce(staged.quantity, '') = '' and not described.needs_quantity then 1
            when regexp_full_match(staged.quantity, '(0|[1-9]\d{0,11})(\.\d{1,6})?')
            then staged.quantity::decimal(18, 6)::decimal(38, 15)
            when strlen(staged.quantity) <= 1000
                and regexp_full_match(staged.quantity, '-?(0|[1-9]\d{0,19})(\.\d{1,15}0*)?')
            then try_cast(staged.quantity as decimal(38, 15))
        end as quantity
    from staged
    join described
        on described.type is not distinct from staged.type and described.landed_data is not distinct from staged.data
    left join measured
        on measured.type = staged.type and measured.landed_data is not distinct from staged.data
        and measured.landed_quantity is not distinct from staged.quantity
    left join organizations on organizations.id = staged.subject
)

select
    landing_day, path, line, source, id, meter, organization_id, time, quantity, dimensions, data,
    case
        when problem is not null then problem
        when is_bad_json then 'bad_json'
        when is_partial then 'missing_field'
        when meter is null then 'unknown_meter'
        when organization_id is null then 'unknown_organization'
        -- DuckDB reads the last moment of Parquet as infinity, which is in no month.
        when time is null or not isfinite(time) then 'bad_time'
        when time < $first_month then 'time_too_early'
        when time < existed_from then 'before_organization'
        when utc(time) >= landing_day + interval 2 days then 'time_in_future'
        when quantity is null then 'bad_quantity'
        when quantity < 0 then 'negative_quantity'
        when is_incomplete then 'missing_dimension'
        when has_nul then 'bad_text'
    end as reason
from typed
