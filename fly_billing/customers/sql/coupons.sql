-- name: add_coupons
-- No rows.
insert into coupons (
    code, description, percent, amount, currency, scope, rank, months, redeem_by, most_redemptions
)
values (
    :code, :description, :percent, :amount, :currency, cast(:scope as jsonb), :rank, :months, :redeem_by,
    :most_redemptions
);

-- name: add_discounts
-- No rows. The database ends it with the coupon's number of months.
insert into discounts (id, organization_id, coupon_code, first_month, last_month, redeemed_at)
values (:id, :organization_id, :coupon_code, :first_month, :last_month, :redeemed_at);

-- name: change_coupon
-- No rows.
update coupons
set
    description = :description, percent = :percent, amount = :amount, currency = :currency,
    scope = cast(:scope as jsonb), rank = :rank, months = :months, redeem_by = :redeem_by,
    most_redemptions = :most_redemptions
where code = :code;

-- name: change_discount
-- No rows.
update discounts set last_month = :last_month where id = :id;

-- name: coupon_codes
-- One row per coupon.
select code from coupons order by code;

-- name: coupons_with
-- One row per coupon with one of these codes.
select code, description, percent, amount, currency, scope, rank, months, redeem_by, most_redemptions
from coupons
where code = any (:keys);

-- name: discounts_of
-- One row per coupon that one of these organizations has or had.
select id, organization_id, coupon_code, first_month, last_month, redeemed_at
from discounts
where organization_id = any (:keys);

-- name: withdraw_discount
-- No rows. The database refuses it if an invoice used it.
delete from discounts where id = :id;
