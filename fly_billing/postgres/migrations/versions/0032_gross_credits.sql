-- A promotion lowers what is taxed; what the customer prepaid or deposited is money, and pays taxes too.
alter table credit_grants add column pays text not null default 'net' check (pays in ('net', 'gross'));
comment on column credit_grants.pays is
    'net: it pays before tax, so that less is taxed (a promotion); gross: after tax, and taxes too (prepaid, a deposit)';
