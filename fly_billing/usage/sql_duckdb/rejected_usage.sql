-- `rejected`: one row per rejected row, with the reason and what to do. Replaces NUL characters, which damaged files
-- may be full of and Postgres can't store, by a symbol.
create or replace temp table rejected as
with rejected_rows as (
    select landing_day, path, line, reason, null as first from validated where reason is not null
    union all
    select landing_day, path, line, 'conflicting_duplicate', first from shared_keys where is_conflict
),

shown as (
    select
        staged.* replace (coalesce(time, strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ'), moment::varchar) as time),
        rejected_rows.reason,
        rejected_rows.first, coalesce(measured.absent, described.absent) as absent, measured.lacking,
        coalesce(if(rejected_rows.reason = 'negative_quantity', measured.negative, measured.wrong), staged.quantity)
            as refused_quantity,
        coalesce(measured.is_unmeasured, false) as is_unmeasured,
        if(measured.type is null and described.meter is not null, described.dimensions, null) as dimensions
    from rejected_rows
    join staged using (landing_day, path, line)
    join described
        on described.type is not distinct from staged.type and described.landed_data is not distinct from staged.data
    left join measured
        on measured.type = staged.type and measured.landed_data is not distinct from staged.data
        and measured.landed_quantity is not distinct from staged.quantity
),

messages as (
    select
        *,
        case reason
            when 'bad_json' then coalesce(problem_message, 'data is ' || object_problem(data))
            when 'missing_field' then if(
                is_unmeasured,
                'no meter finds its quantity: an event of type ' || type || ' needs one of ' || (
                    select string_agg(distinct coalesce(quantity_of, 'quantity'), ', '
                        order by coalesce(quantity_of, 'quantity'))
                    from shared_meters
                    where event_type = type
                ) || ' in data, beside id, source, type, subject and time',
                'id, source, type, subject, time and data.quantity must all be there'
            )
            when 'unknown_meter' then 'no meter ' || type || ': add it to the price book, then land this day again'
            when 'unknown_organization' then 'no organization ' || subject || ': create it, then land this day again'
            when 'bad_time' then time || ' is not an RFC 3339 time with an offset, such as 2026-10-01T12:00:00Z'
            when 'time_too_early' then time || ' lies before the first month that is billed'
            when 'before_organization'
                then time || ' lies before the month in which ' || subject || ' was created: correct one or the other'
            when 'time_in_future' then time || ' lies more than a day after its landing day ' || landing_day::varchar
            when 'bad_quantity'
                then refused_quantity || ' is not a JSON number with at most 20 digits before the point and 15 after it'
            when 'negative_quantity' then refused_quantity || ' is below zero: send a credit as a one-off item'
            when 'missing_dimension'
                then 'meter ' || coalesce(lacking, type) || ' needs ' || array_to_string(absent, ', ') || ' in data'
            when 'bad_text' then coalesce(problem_message, 'id, source or a dimension has a NUL character in it')
            when 'conflicting_duplicate' then
                'an event with this source and id was accepted before with other content, from ' || first.landing_day
                || '/' || first.path || ':' || first.line || ' (time '
                || strftime(utc(first.happened), '%Y-%m-%dT%H:%M:%S.%fZ') || '): send a correction under a new id'
            else problem_message
        end as message
    from shown
)

select
    landing_day, path, line, reason, replace(coalesce(message[:1000], reason), chr(0), '␀') as message,
    replace(source, chr(0), '␀') as source,
    replace(id, chr(0), '␀') as id, replace(type, chr(0), '␀') as meter,
    replace(subject, chr(0), '␀') as organization_id,
    replace(
        coalesce(nullif(raw, ''), to_json(struct_pack(id, source, type, subject, time, quantity, data))::varchar),
        chr(0), '␀'
    ) as raw,
    -- Only what Postgres can store: a rejected row may have any time and any number.
    case
        when moment >= timestamptz '1970-01-01 00:00:00+00' and moment < timestamptz '2200-01-01 00:00:00+00'
            then moment
    end as happened_at,
    case
        when strlen(quantity) <= 1000 and regexp_full_match(quantity, '(0|[1-9]\d{0,19})(\.\d{1,15}0*)?')
            then try_cast(quantity as decimal(38, 15))
    end as quantity,
    replace(dimensions, chr(0), '␀') as read_dimensions
from messages
