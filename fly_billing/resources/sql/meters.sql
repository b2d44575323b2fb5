-- One row per meter.
select key, dimensions from meters order by key
