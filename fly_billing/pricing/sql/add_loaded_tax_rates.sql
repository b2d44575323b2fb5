-- No rows. Versions of tax rates by (book, key, first_month). Only changed ones are written, so that the refusal to change
-- a used rate speaks up exactly when one is changed.
insert into tax_rates select * from loaded_tax_rates
on conflict (book, key, first_month) do update set
    tax = excluded.tax, name = excluded.name, percent = excluded.percent, is_inclusive = excluded.is_inclusive,
    category = excluded.category, legal_text = excluded.legal_text, scope = excluded.scope,
    locations = excluded.locations, customers = excluded.customers, last_month = excluded.last_month
where to_jsonb(tax_rates) <> to_jsonb(excluded)
