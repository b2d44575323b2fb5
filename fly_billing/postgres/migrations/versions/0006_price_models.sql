-- Room for every price model. Prices that are there stay as they are, to the byte: a used one may not change.

alter table prices
    add column settings jsonb not null default '{}',
    alter column per drop not null,
    alter column per drop default,
    drop constraint prices_model_check,
    drop constraint prices_check1,
    drop constraint prices_check2,
    add constraint prices_model_check check (model in (
        'per_unit', 'package', 'graduated', 'volume', 'graduated_percentage', 'percentage', 'flat'
    )),
    add constraint prices_tiers_check check (
        (model in ('graduated', 'volume', 'graduated_percentage')) = (tiers is not null)
    ),
    add constraint prices_unit_amount_given_check check ((model in ('per_unit', 'package')) = (unit_amount is not null)),
    add constraint prices_per_given_check check (
        (model in ('per_unit', 'package', 'graduated', 'volume')) = (per is not null)
    ),
    add constraint prices_settings_check check (jsonb_typeof(settings) = 'object');
comment on column prices.settings is
    'what has no column: round, percent, flat_amount, minimum, maximum, at_zero; absent where it is the default';
