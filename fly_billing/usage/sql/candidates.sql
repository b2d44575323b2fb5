-- DuckDB. `candidates`: one row per billable row, of the days that land and of those that are settled again because of them.
create or replace temp table replaced (landing_day date);
create or replace temp table orphaned_days (landing_day date);
create or replace temp table settled_again as
select * exclude (reason), false as was_accepted from judged where false;
create or replace temp view candidates as
select * exclude (reason), false as was_accepted from judged where reason is null
union all by name
select * from settled_again
