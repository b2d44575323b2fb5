-- One row per organization that is billed by this price book.
select id, currency from organizations where price_book = :book
