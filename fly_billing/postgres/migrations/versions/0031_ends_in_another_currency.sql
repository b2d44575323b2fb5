-- After an organization's currency changed, what was agreed in the earlier one is ended: only a new amount, or another
-- currency, has to be in the present one.
drop trigger refuse_other_currency on commitments;
create trigger refuse_other_currency before insert or update of currency, organization_id, amount on commitments
    for each row execute function refuse_other_currency('commitment');
alter table commitments enable always trigger refuse_other_currency;
