-- DuckDB. One row per landed row: typed where it can be billed, with a reason where it can't.
-- Left out: duplicates, which `settle_duplicates.sql` tells apart.
-- Parameters: $first_month, the first moment of the first month that can be billed.
create or replace temp table judged as
with typed as (
    select
        staged.* exclude (data),
        staged.data as landed_data,
        case when json_valid(staged.data) then staged.data end as data,
        case
            when regexp_full_match(staged.time, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)')
            then try_cast(staged.time as timestamptz)
        end as moment,
        -- More decimals than 15 would be rounded by the cast: refused instead.
        case
            when regexp_full_match(staged.quantity, '[+-]?\d{1,20}(\.\d{1,15}0*)?')
            then try_cast(staged.quantity as decimal(38, 15))
        end as amount,
        meters.key as meter,
        meters.dimensions as kept_apart_by,
        list_concat(meters.dimensions, if(meters.property is null, [], [meters.property])) as wanted,
        organizations.id as organization_id,
        organizations.existed_from
    from staged
    left join meters on meters.key = staged.type
    left join organizations on organizations.id = staged.subject
),

described as (
    select
        *,
        list_filter(wanted, lambda name: json_extract_string(data, '$."' || name || '"') is null) as absent,
        -- Postgres has no text with a NUL in it.
        contains(
            concat_ws('', id, source, array_to_string(
                list_transform(wanted, lambda name: json_extract_string(data, '$."' || name || '"')), ''
            )),
            chr(0)
        ) as has_nul,
        case
            when meter is not null then to_json(map_from_entries(list_transform(
                list_sort(kept_apart_by),
                lambda name: struct_pack(k := name, v := json_extract_string(data, '$."' || name || '"'))
            )))::varchar
        end as dimensions
    from typed
)

select
    landing_day, path, line, source, id, type, subject, meter, organization_id, moment as time, amount as quantity, dimensions, data,
    coalesce(nullif(raw, ''), to_json(struct_pack(id, source, type, subject, time, quantity, data := landed_data))::varchar) as raw,
    case
        when problem is not null then problem
        when landed_data is not null and data is null then 'bad_json'
        when coalesce(id, '') = '' or coalesce(source, '') = '' or type is null or subject is null or time is null
            or quantity is null then 'missing_field'
        when meter is null then 'unknown_meter'
        when organization_id is null then 'unknown_organization'
        when moment is null then 'bad_time'
        when moment < $first_month then 'time_too_early'
        when moment < existed_from then 'before_organization'
        when moment >= landing_day + interval 2 days then 'time_in_future'
        when amount is null then 'bad_quantity'
        when amount < 0 then 'negative_quantity'
        when len(absent) > 0 then 'missing_dimension'
        when has_nul then 'bad_text'
    end as reason,
    case
        when problem is not null then problem_message
        when landed_data is not null and data is null then 'data is not a JSON document'
        when coalesce(id, '') = '' or coalesce(source, '') = '' or type is null or subject is null or time is null
            or quantity is null then 'id, source, type, subject, time and data.quantity must all be there'
        when meter is null then 'no meter ' || type || ': add it to the price book, then land this day again'
        when organization_id is null then 'no organization ' || subject || ': create it, then land this day again'
        when moment is null then time || ' is no RFC 3339 time with an offset, such as 2026-10-01T12:00:00Z'
        when moment < $first_month then time || ' lies before the first month that is billed'
        when moment < existed_from
            then time || ' lies before the month in which ' || subject || ' was created: correct one or the other'
        when moment >= landing_day + interval 2 days
            then time || ' lies more than a day after its landing day ' || landing_day::varchar
        when amount is null
            then quantity || ' is no finite decimal number with at most 20 digits before the point and 15 behind it'
        when amount < 0 then quantity || ' is below zero: send a credit as a one-off item'
        when len(absent) > 0 then 'meter ' || type || ' needs ' || array_to_string(absent, ', ') || ' in data'
        when has_nul then 'id, source or a dimension has a NUL character in it'
    end as message
from described
