-- DuckDB. No rows. Makes the macro `counted_quantity(measured)`: as how much an event counts for the meter whose variables
-- `event_step` and `event_round` are set, as `accepted_usage.sql` has it. Both are null where the meter does not round.
create or replace temp macro counted_quantity(measured) as
cast(case
    when getvariable('event_round') is null then measured
    when getvariable('event_round') = 'up' and measured % getvariable('event_step')::decimal(38, 15) > 0
        then measured - measured % getvariable('event_step')::decimal(38, 15) + getvariable('event_step')::decimal(38, 15)
    else measured - measured % getvariable('event_step')::decimal(38, 15)
end as decimal(38, 15))
