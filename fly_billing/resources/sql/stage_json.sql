-- DuckDB. One row per line of `lines` that may be plain: what the JSON document in it says, and `is_plain`. The other lines
-- are for the exact reader (`usage_json.stage_json_line`): what DuckDB could read otherwise than that must not be plain.
-- (Not a condition: DuckDB would push it down and read each document once more for it.) Plain is a flat object whose only object is `data`, flat too: no escapes, no key twice, no numbers but whole ones, and a
-- quantity whose digits are taken from the line (DuckDB reads doubles).
with flat as (
    -- Members, then `data` with members of its own, then members. A member is a text, a whole number of up to
    -- 18 digits, or a word; only a quantity may have a point.
    select line, raw
    from lines
    where
        regexp_full_match(
            raw,
            '\{[ \t]*("[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null)[ \t]*,[ \t]*)*'
            || '"data"[ \t]*:[ \t]*\{[ \t]*('
            || '"[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null)'
            || '|"quantity"[ \t]*:[ \t]*-?(0|[1-9]\d{0,19})(\.\d{1,15})?)'
            || '([ \t]*,[ \t]*('
            || '"[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null)'
            || '|"quantity"[ \t]*:[ \t]*-?(0|[1-9]\d{0,19})(\.\d{1,15})?))*[ \t]*\}'
            || '([ \t]*,[ \t]*"[^"\\\x00-\x1f]*"[ \t]*:[ \t]*("[^"\\\x00-\x1f]*"|-?[1-9]\d{0,17}|0|true|false|null))*[ \t]*\}'
        )
        -- Names that are no texts: the exact reader tells whole numbers from the rest.
        and not regexp_matches(raw, '"(id|source|type|subject)"[ \t]*:[ \t]*[^" \t]')
),

parsed as (
    select
        line, raw,
        json_extract_string(
            raw, ['$.id', '$.source', '$.type', '$.subject', '$.time', '$.data.quantity', '$.data']
        ) as field,
        json_keys(raw) as keys, json_keys(raw, '$.data') as data_keys
    from flat
),

read as (
    select
        *,
        case
            when regexp_full_match(
                field[5],
                '(19[7-9]\d|2\d{3})-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)'
            )
            then try_cast(field[5] as timestamptz)
        end as moment,
        case
            when regexp_full_match(field[6], '0|[1-9]\d{0,17}') then field[6]
            else trim(regexp_extract(
                raw,
                '"quantity"[ \t]*:[ \t]*("-?(?:0|[1-9]\d{0,19})(?:\.\d{1,15})?"|-?(?:0|[1-9]\d{0,19})(?:\.\d{1,15})?)[ \t]*[,}]', 1
            ), '"')
        end as quantity
    from parsed
)

select
    line, raw, field[1] as id, field[2] as source, field[3] as type, field[4] as subject, null::varchar as time, quantity,
    regexp_replace(field[7], '"quantity":("[^"]*"|[^,}"]*),|,?"quantity":("[^"]*"|[^,}"]*)', '') as data,
    null::varchar as problem, null::varchar as problem_message, moment,
    moment is not null and quantity <> '' and field[6] is not null and not list_contains(keys, 'quantity')
    and len(keys) = list_unique(keys) and len(data_keys) = list_unique(data_keys) as is_plain
from read
