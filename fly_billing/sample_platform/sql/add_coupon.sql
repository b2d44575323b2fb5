-- No rows.
insert into coupons (code, description, percent, months)
values (:code, :description, :percent, :months)
on conflict do nothing
