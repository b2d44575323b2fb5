-- name: insert_json
-- No rows. Puts the lines of `read_json` into `staged`: plain ones as they were read, all others as in `exact_rows`.
insert into staged by name
select * exclude (is_plain) from read_json where is_plain
union all by name
select * from exact_rows;

-- name: plain_object
-- No rows. Makes the macro `is_plain_object(doc)`: whether a text is a JSON object that DuckDB reads exactly as
-- `usage/rules/cells.py` does. No escapes, no two equal keys, nothing inside but texts, whole numbers, true, false and null.
create or replace temp macro is_plain_object(doc) as
case
    when contains(doc, '\') or not json_valid(doc) or regexp_matches(doc, ',\s*[}\]]') then false
    else json_type(doc) = 'OBJECT'
        and len(json_keys(doc)) = list_unique(json_keys(doc))
        and not regexp_matches(array_to_string(json_type(doc, '$.*'), ' '), 'OBJECT|ARRAY|DOUBLE')
end;
