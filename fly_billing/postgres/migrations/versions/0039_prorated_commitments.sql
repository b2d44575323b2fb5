-- A minimum or maximum may run for a part of its months only, as its organization or plan existed for that part: its amount is
-- in proportion then, by the second.

alter table commitments
    add column runs_from timestamptz check (runs_from >= '1970-01-01Z' and runs_from < '2200-01-01Z'),
    add column runs_until timestamptz check (runs_until >= '1970-01-01Z' and runs_until < '2200-01-01Z'),
    add constraint runs_for_some_time check (runs_until > runs_from),
    add constraint runs_in_its_months check (
        runs_from >= first_month and (last_month is null or runs_from < last_month + interval '1 month')
        and runs_until > first_month
    );
comment on column commitments.runs_from is
    'from when on it runs, where that is inside its first months: they are in proportion. Null: from the first on';
comment on column commitments.runs_until is
    'until when it runs, where that is inside its last months: they are in proportion. Null: to the end of the last';
