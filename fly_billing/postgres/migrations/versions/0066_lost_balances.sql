-- Stripe deletes a customer's balance with the customer. It is recorded as a change of the balance to 0, and named until it
-- is given again to the organization's new customer. docs/ledger.md explains it.

create view lost_balances as
with deleted as (
    select organization_id, currency, cast(-sum(amount_cents) as bigint) as cents, min(id) as first_id
    from stripe_money
    where kind = 'customer_balance_transaction' and status = 'deleted_with_customer'
    group by organization_id, currency
),

left_over as (
    select
        d.organization_id, d.currency,
        case
            when d.cents < 0 then least(0, d.cents - coalesce(sum(least(m.amount_cents, 0)), 0))
            else greatest(0, d.cents - coalesce(sum(greatest(m.amount_cents, 0)), 0))
        end as cents
    from deleted as d
    left join stripe_money as m
        on m.organization_id = d.organization_id and m.currency = d.currency and m.id > d.first_id
            and m.kind = 'customer_balance_transaction' and m.status = 'adjustment'
    group by d.organization_id, d.currency, d.cents
)

select organization_id, currency, cast(cents as bigint) as cents
from left_over
where cents <> 0;
comment on view lost_balances is
'One row per organization and currency whose balance at Stripe was deleted with its customer, and not given or charged again since.';
comment on column lost_balances.organization_id is 'The organization of the deleted customer.';
comment on column lost_balances.currency is 'ISO 4217.';
comment on column lost_balances.cents is 'What is missing, in minor units: below zero is credit.';
