-- An open day lands every five minutes. The time that the object store lists tells whether an object is still the one
-- that landed, so that it need not be downloaded each time.
alter table usage_files add column stored_at timestamptz
constraint stored_at_is_a_time check (stored_at >= '1970-01-01Z' and stored_at < '2200-01-01Z');
comment on column usage_files.stored_at is
'In an object store: when the store last wrote the object that landed, by the store''s clock. Null: a file on a disk.';
