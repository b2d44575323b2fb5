-- DuckDB. No rows. Puts the lines of `read_json` into `staged`: plain ones as they were read, all others as in `exact_rows`.
insert into staged by name
select * exclude (is_plain) from read_json where is_plain
union all by name
select * from exact_rows
