-- No rows. Which item bills which rollup.
insert into invoice_item_rollups select * from computed_item_rollups
