-- Percentages off everything above zero. One coupon per organization and month; amounts off are left out.
insert into lines
select
    d.organization_id, min(l.currency), 'discount', 'Discounts', c.description, 1, 'item',
    -sum(l.amount) * c.percent * 0.01, null, null, null, null, null, d.id, null
from discounts as d
join coupons as c on c.code = d.coupon_code
join lines as l on l.organization_id = d.organization_id
where d.first_month <= :month and coalesce(d.last_month >= :month, true) and l.amount > 0
group by d.id, d.organization_id, c.description, c.percent
