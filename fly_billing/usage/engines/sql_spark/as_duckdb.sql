-- Defines DuckDB's variables and functions, and the macros `level_time` of `duckdb_engine.sql`, for the statements that
-- DuckDB and Spark share. Spark's `div` is limited to 64 bits, and its `/` rounds at another digit. So `quotient`
-- divides a multiple of the unit, which needs no rounding.
declare or replace variable month_start timestamp;

declare or replace variable month_end timestamp;

declare or replace variable counted_until timestamp;

create or replace temporary function getvariable(name string) returns timestamp
return case name
    when 'month_start' then month_start when 'month_end' then month_end when 'counted_until' then counted_until
end;

create or replace temporary function epoch_us(moment timestamp) returns bigint
return unix_micros(moment);

-- Both engines read numbers with decimals as doubles, but write them differently. A series that is written differently
-- than in the month before would count twice.
create or replace temporary function as_duckdb_writes(found string, data string, path string) returns string
return if(
    found rlike '^(-?[0-9.]+E-?[0-9]+|"-?Infinity")$'
    and schema_of_variant(variant_get(parse_json(data), path)) <> 'STRING',
    raise_error('Spark writes the number ' || found || ' otherwise than DuckDB does: add this month up on DuckDB'),
    found
);

-- `path` is $."property".
create or replace temporary function json_extract_string(data string, path string) returns string
return as_duckdb_writes(
    get_json_object(data, "$['" || substring(path, 4, length(path) - 4) || "']"),
    data, "$['" || substring(path, 4, length(path) - 4) || "']"
);

create or replace temporary function whole_of(level decimal(38, 15)) returns decimal(38, 0)
return floor(level);

create or replace temporary function decimals_of(level decimal(38, 15)) returns decimal(38, 0)
return (level - floor(level)) * 1000000000000000;

create or replace temporary function quotient(number decimal(38, 0), unit decimal(20, 0)) returns decimal(38, 0)
return (number - number % unit) / unit;

create or replace temporary function rounded_quotient(
    whole decimal(38, 0), decimals decimal(38, 0), unit decimal(20, 0)
) returns decimal(38, 15)
return quotient(whole, unit)
    + cast(quotient(2 * (whole % unit * 1000000000000000 + decimals) + unit, 2 * unit) as decimal(16, 0))
    * 0.000000000000001;

create or replace temporary function level_time(
    whole decimal(38, 0), decimals decimal(38, 0), unit decimal(20, 0)
) returns decimal(38, 15)
return rounded_quotient(whole + quotient(decimals, 1000000000000000), decimals % 1000000000000000, unit)
