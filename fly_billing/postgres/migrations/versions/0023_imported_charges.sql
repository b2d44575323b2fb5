-- A FOCUS export that overlaps an earlier one is compared with it row by row. Usage is found again in the landing folder;
-- of one-off items this says which charge of which import they are.
alter table one_off_items add imported_as text check (imported_as <> '');
comment on column one_off_items.imported_as is
    'which charge of a FOCUS file it is; an even number of items of one charge: it was taken back';
