-- `read_json`: one row per line of `lines`, with the fields of its JSON document if it `is_plain`. The exact reader
-- (`usage.readers.json_lines.stage_json_line`) reads all other lines. A plain line is a flat object whose only nested
-- object, `data`, is flat, too: no escapes, no repeated keys, no numbers except integers, and a quantity that appears
-- in the line with the same digits, because DuckDB reads numbers as doubles. `validate_usage.sql` checks repeated keys
-- in `data` other than the quantity. `is_plain` is a column and not a condition, as DuckDB would push a condition down
-- and parse each document once more for it.
create or replace temp table read_json as
with shaped as (
    select
        landing_day, path, line, raw,
        -- Matches members, then `data` with its own members, then members. A member is a text, an integer of up to 18
        -- digits, or a word. Only a quantity may have a decimal point.
        regexp_full_match(
            raw,
            '\{[ \t]*("[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null)[ \t]*,[ \t]*)*' -- noqa: LT05
            || '"data"[ \t]*:[ \t]*\{[ \t]*('
            || '"[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null)'
            || '|"quantity"[ \t]*:[ \t]*-?(0|[1-9]\d{0,19})(\.\d{1,15})?)'
            || '([ \t]*,[ \t]*('
            || '"[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null)'
            || '|"quantity"[ \t]*:[ \t]*-?(0|[1-9]\d{0,19})(\.\d{1,15})?))*[ \t]*\}'
            || '([ \t]*,[ \t]*"[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null))*[ \t]*\}' -- noqa: LT05
        )
        -- Identifiers that are not texts go to the exact reader, which accepts integers only.
        and not regexp_matches(raw, '"(id|source|type|subject)"[ \t]*:[ \t]*[^" \t]') as is_flat
    from lines
),

parsed as (
    select
        landing_day, path, line, raw,
        case
            when is_flat
            then json_extract_string(
                raw, ['$.id', '$.source', '$.type', '$.subject', '$.time', '$.data.quantity', '$.data']
            )
        end as field,
        case when is_flat then json_keys(raw) end as keys
    from shaped
),

said as (
    select
        * exclude (field), field[1] as id, field[2] as source, field[3] as type, field[4] as subject, field[5] as time,
        field[6] as quantity, field[7] as data
    from parsed
),

read as (
    select
        * exclude (quantity, data, time),
        case
            when regexp_full_match(
                time,
                '(19[7-9]\d|2\d{3})-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)' -- noqa: LT05
            )
            then try_cast(time as timestamptz)
        end as moment,
        -- The digits of a text, and of an integer with up to 18 digits, are as written.
        case
            when regexp_full_match(quantity, '0|[1-9]\d{0,17}') then quantity
            when contains(data, '"quantity":"')
            then case when regexp_full_match(quantity, '-?(0|[1-9]\d{0,19})(\.\d{1,15})?') then quantity end
            else regexp_extract(raw, '"quantity"[ \t]*:[ \t]*(-?(?:0|[1-9]\d{0,19})(?:\.\d{1,15})?)[ \t]*[,}]', 1)
        end as quantity,
        case
            -- `replace` removes every copy of it. If there were two, this is null and the line is not plain.
            when contains(data, '"quantity":"' || quantity || '",')
            then case
                when
                    strlen(replace(data, '"quantity":"' || quantity || '",', '')) + strlen(quantity) + 14 = strlen(data)
                then replace(data, '"quantity":"' || quantity || '",', '')
            end
            else regexp_replace(data, '"quantity":("[^"]*"|[^,}"]*),|,?"quantity":("[^"]*"|[^,}"]*)', '')
        end as data
    from said
)

select
    landing_day, path, line, raw, id, source, type, subject, null::varchar as time, quantity, data,
    null::varchar as problem, null::varchar as problem_message, moment,
    coalesce(
        moment is not null and quantity <> '' and not contains(data, '"quantity"')
        -- Six names of which none is missing are distinct. Counting distinct names is expensive.
        and (
            len(keys) = 6 and id is not null and source is not null and type is not null and subject is not null
            or len(keys) = list_unique(keys) and not list_contains(keys, 'quantity')
        ),
        false
    ) as is_plain
from read
