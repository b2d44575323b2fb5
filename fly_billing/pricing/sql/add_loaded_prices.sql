-- No rows. Price versions by (book, key, effective_from). Only changed ones are written, so that the refusal to change
-- a used price speaks up exactly when one is changed.
insert into prices select * from loaded_prices
on conflict (book, key, effective_from) do update set
    meter = excluded.meter, product = excluded.product, description = excluded.description, unit = excluded.unit,
    currency = excluded.currency, model = excluded.model, unit_amount = excluded.unit_amount, per = excluded.per,
    tiers = excluded.tiers, free_allowance = excluded.free_allowance, match = excluded.match,
    effective_until = excluded.effective_until, settings = excluded.settings
where to_jsonb(prices) <> to_jsonb(excluded)
