-- A month is closed with differences only if someone accepts them by their amounts; and a final invoice keeps its seller.

alter table accounting_periods
add column accepted_differences text check (accepted_differences <> ''),
add column why text check (btrim(why) <> ''),
add constraint accepted_differences_have_a_reason check ((accepted_differences is null) = (why is null));
comment on column accounting_periods.accepted_differences is
'The differences with Stripe that it was closed with, a line each. Null: the books agreed, or it was closed before 0058.';
comment on column accounting_periods.why is 'Why they were accepted.';

alter table invoice_details add column seller text;
comment on column invoice_details.seller is
'The lines about the seller at that time, as FLY_BILLING_SELLER had them; empty: none. Null: not recorded.';

create or replace function keep_invoice_details() returns trigger language plpgsql as $$
begin
    if not exists (select from new_invoices where status = 'finalized') then
        return null;
    end if;
    insert into invoice_details (
        invoice_id, name, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection,
        net_days, purchase_order, memo, footer, seller
    )
    select
        n.id, coalesce(d.legal_name, g.name), d.legal_name, d.email, d.line1, d.line2, d.postal_code, d.city, d.state,
        d.country, coalesce(d.tax_ids, '{}'), coalesce(d.collection, 'charge_automatically'), d.net_days,
        d.purchase_order, d.memo, d.footer, current_setting('fly_billing.seller', true)
    from new_invoices as n
    join old_invoices as o on o.id = n.id and o.status = 'open'
    join organizations as g on g.id = n.organization_id
    left join billing_details as d on d.organization_id = n.organization_id
    where n.status = 'finalized';
    return null;
end $$;
