-- A one-off item may be so many of something at a price each: its amount follows from them.
alter table one_off_items
    add quantity numeric not null default 1,
    add unit text not null default 'item',
    add unit_amount numeric,
    add constraint quantity_is_finite check (abs(quantity) < 1e12),
    add constraint unit_amount_is_finite check (abs(unit_amount) < 1e12),
    add constraint unit_is_text check (unit ~ '[^[:space:][:cntrl:]]'),
    add constraint amount_is_quantity_times_unit_amount check (amount = quantity * unit_amount),
    add constraint product_has_at_most_20_decimals check (scale(quantity) + scale(unit_amount) <= 20),
    add constraint a_quantity_has_a_unit_amount check (unit_amount is not null or (quantity = 1 and unit = 'item'));
comment on column one_off_items.amount is 'below zero: a credit; left out where there is a unit_amount: quantity x unit_amount';
comment on column one_off_items.quantity is 'how many at unit_amount each; below zero: taken back';
comment on column one_off_items.unit is 'what quantity counts, in the singular: seat, hour';
comment on column one_off_items.unit_amount is 'price of one, in the currency''s major unit; null: the amount is a price as a whole';

create function fill_one_off_amount() returns trigger language plpgsql as $$
begin
    if new.amount is null then
        new.amount := new.quantity * new.unit_amount;
    end if;
    return new;
end
$$;
create trigger fill_one_off_amount before insert on one_off_items
for each row execute function fill_one_off_amount();
