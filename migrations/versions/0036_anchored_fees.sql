-- Another number of seats is another subscription: it can go on with the intervals of the one before.
alter table subscriptions
    add column anchored_at timestamptz
        constraint anchored_at_is_a_time check (anchored_at >= '1970-01-01Z' and anchored_at < '2200-01-01Z'),
    add constraint anchored_by_its_start check (anchored_at is null or (anchor = 'start' and anchored_at <= started_at));
comment on column subscriptions.anchored_at is
    'with anchor start: the moment from which its intervals are counted; null: from its start, or the end of its trial';
