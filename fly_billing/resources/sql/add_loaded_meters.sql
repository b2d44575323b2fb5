-- No rows. Meters by key; what a meter counts and its unit may be reworded.
insert into meters select * from loaded_meters
on conflict (key) do update set
    name = excluded.name, unit = excluded.unit, aggregation = excluded.aggregation, dimensions = excluded.dimensions
