-- Spark. One row per event of the month, as it is in the usage table: none of them is read by several meters.
create or replace temp view events as
select * from landed
