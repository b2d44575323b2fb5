-- No rows. A subscription whose end was not known before gets it now.
insert into subscriptions (id, organization_id, price_key, started_at, ended_at)
values (:id, :organization_id, :price_key, :started_at, :ended_at)
on conflict (id) do update set ended_at = excluded.ended_at
where subscriptions.ended_at is distinct from excluded.ended_at
