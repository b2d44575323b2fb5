alter table rejected_usage add column is_free boolean not null default false;
comment on column rejected_usage.is_free is
    'the accepted event with which this row collided is gone: its day is worth landing again';
create index on rejected_usage (landing_day) where is_free;
