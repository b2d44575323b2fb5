-- name: insert_json
-- No rows. Inserts lines of JSON into `staged`: those of `shaped_rows`, the plain lines of `read_json`, and all other
-- lines from `exact_rows`.
insert into staged by name
select * exclude (is_plain) from read_json where is_plain
union all by name
select * from exact_rows
union all by name
select * from shaped_rows;

-- name: plain_object
-- No rows. Creates the macro `is_plain_object(doc)`: true for a JSON object that DuckDB and `usage/rules/cells.py` read
-- alike. It has no escapes and no repeated keys, and its values are texts, integers, true, false or null.
create or replace temp macro is_plain_object(doc) as
case
    when contains(doc, '\') or not json_valid(doc) or regexp_matches(doc, ',\s*[}\]]') then false
    else json_type(doc) = 'OBJECT'
        and len(json_keys(doc)) = list_unique(json_keys(doc))
        and not regexp_matches(array_to_string(json_type(doc, '$.*'), ' '), 'OBJECT|ARRAY|DOUBLE')
end;
