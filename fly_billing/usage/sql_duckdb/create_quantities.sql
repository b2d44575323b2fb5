-- Creates the table that `add_up_usage.sql` and `roll_up_usage.sql` fill.
create or replace temp table quantities (
    organization_id varchar, meter varchar, dimensions varchar, segment_start timestamptz, segment_end timestamptz,
    quantity decimal(38, 15), events bigint, daily varchar
)
