-- landed_at also moves when a sensor lists the day's files, so it does not say that their contents were read.
alter table landing_days add column compared_at timestamptz
constraint compared_at_is_a_time check (compared_at >= '1970-01-01Z' and compared_at < '2200-01-01Z');
comment on column landing_days.compared_at is
'When the contents of all its files were last read, or compared with what landed. Null: not known.';
