-- No rows.
insert into discounts (id, organization_id, coupon_code, first_month, redeemed_at)
select :id, :organization_id, :coupon_code, :first_month, :at
where not exists (select from discounts where id = :id)
