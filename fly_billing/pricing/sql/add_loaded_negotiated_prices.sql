-- No rows. Versions of negotiated prices. Only changed ones are written, so that the refusal to change a used one speaks
-- up exactly when one is changed.
insert into negotiated_prices select * from loaded_negotiated_prices
on conflict (id) do update set charges = excluded.charges, effective_until = excluded.effective_until
where to_jsonb(negotiated_prices) <> to_jsonb(excluded)
