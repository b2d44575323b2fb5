-- DuckDB. `judged`: one row per landed row, typed where it can be billed, with a reason where it can't. `described`: what the
-- data of a meter's events say, once for all rows that say the same: reading JSON is most of the work, and a resource
-- mostly says the same all month. Left out: duplicates, which `settle_duplicates.sql` tells apart.
-- Parameters: $first_month, the first moment of the first month that can be billed.
create or replace temp table described as
with typed as (
    select
        said.type, said.data as landed_data, meters.key as meter, meters.dimensions as kept_apart_by,
        case when json_valid(said.data) then said.data end as data,
        list_concat(meters.dimensions, if(meters.property is null, [], [meters.property])) as wanted
    from (select distinct type, data from staged) as said
    left join meters on meters.key = said.type
),

read as (
    select *, list_transform(wanted, lambda name: json_extract_string(data, '$."' || name || '"')) as found from typed
)

select
    type, landed_data, meter, data, landed_data is not null and data is null as is_bad_json,
    list_filter(wanted, lambda name, place: found[place] is null) as absent,
    -- Postgres has no text with a NUL in it.
    contains(array_to_string(found, ''), chr(0)) as has_nul,
    case
        when meter is not null then to_json(map_from_entries(list_transform(
            list_sort(kept_apart_by),
            lambda name: struct_pack(k := name, v := json_extract_string(data, '$."' || name || '"'))
        )))::varchar
    end as dimensions
from read;

create or replace temp table judged as
with typed as (
    select
        staged.landing_day, staged.path, staged.line, staged.source, staged.id, described.meter,
        organizations.id as organization_id, described.dimensions, described.data, staged.problem,
        described.is_bad_json, organizations.existed_from, len(described.absent) > 0 as is_incomplete,
        coalesce(staged.id, '') = '' or coalesce(staged.source, '') = '' or staged.type is null or staged.subject is null
            or (staged.time is null and staged.moment is null) or staged.quantity is null as is_partial,
        described.has_nul or contains(staged.id, chr(0)) or contains(staged.source, chr(0)) as has_nul,
        case
            when staged.moment is not null then staged.moment
            when regexp_full_match(staged.time, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)')
            then try_cast(staged.time as timestamptz)
        end as time,
        -- More decimals than 15 would be rounded by the cast: refused instead. What fits takes the narrow cast, which is a
        -- hundred times as fast.
        case
            when regexp_full_match(staged.quantity, '\d{1,12}(\.\d{1,6})?')
            then staged.quantity::decimal(18, 6)::decimal(38, 15)
            when regexp_full_match(staged.quantity, '[+-]?\d{1,20}(\.\d{1,15}0*)?')
            then try_cast(staged.quantity as decimal(38, 15))
        end as quantity
    from staged
    join described
        on described.type is not distinct from staged.type and described.landed_data is not distinct from staged.data
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
        when time is null then 'bad_time'
        when time < $first_month then 'time_too_early'
        when time < existed_from then 'before_organization'
        when utc(time) >= landing_day + interval 2 days then 'time_in_future'
        when quantity is null then 'bad_quantity'
        when quantity < 0 then 'negative_quantity'
        when is_incomplete then 'missing_dimension'
        when has_nul then 'bad_text'
    end as reason
from typed
