-- A one-off item says what it is, as a price does: taxes, discounts, commitments and credits may be for that only.
alter table one_off_items
    add product text not null default 'One-off'
    check (product !~ '[[:cntrl:]]' and product ~ '^\S(.*\S)?$' and length(product) <= 500);
comment on column one_off_items.product is 'under what the invoice lists it, and what the scope of a tax or a term names';
