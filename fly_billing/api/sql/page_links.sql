-- name: revoke_page_link
-- One row: false if the link was revoked before.
select revoke_page_link(:id) as is_new;

-- name: revoke_page_link_with_token
-- One row, as of revoke_page_link: for the role that can only read, with an issuer's token.
select revoke_page_link_with_token(:token_id, :id) as is_new;

-- name: revoked_page_link
-- One row if the link is revoked, none otherwise.
select link_id from page_link_revocations where link_id = :id;
