-- No rows. Memberships in groups; of one that is there its end is set.
insert into price_group_members select * from loaded_members
on conflict (price_group, organization_id, effective_from) do update set effective_until = excluded.effective_until
where to_jsonb(price_group_members) <> to_jsonb(excluded)
