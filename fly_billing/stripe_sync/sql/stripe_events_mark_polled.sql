-- stripe_events_mark_polled
-- No rows. All events until then were read; it never goes back.
insert into stripe_events_polled (until) values (:until)
on conflict (only_row) do update set until = greatest(stripe_events_polled.until, excluded.until)
