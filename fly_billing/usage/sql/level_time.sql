-- DuckDB. Macros for levels times microseconds, in two whole numbers: the sum of whole levels, and that of their 15 decimals
-- taken as a whole number. Together they have more digits than a decimal of DuckDB; each alone fits.
-- `level_time(whole, decimals, unit)` is their quotient by `unit` microseconds, rounded half-up at the 15th decimal.
create or replace temp macro whole_of(level) as floor(level)::hugeint;
create or replace temp macro decimals_of(level) as ((level - floor(level)) * 1000000000000000)::hugeint;
create or replace temp macro quotient(whole, decimals, unit) as
    (whole // unit)::decimal(38, 15)
    + ((2 * (whole % unit * 1000000000000000::hugeint + decimals) + unit) // (2 * unit))::decimal(16, 0)
    * 0.000000000000001::decimal(16, 15);
create or replace temp macro level_time(whole, decimals, unit) as quotient(
    whole + decimals // 1000000000000000::hugeint, decimals % 1000000000000000::hugeint, unit::hugeint
)
