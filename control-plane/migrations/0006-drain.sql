-- Hosts that are emptied, and sets on their way from one host to another.

-- What its last drain began with; counts while the operation is open.
alter table host add column drain jsonb;
-- The set is being stopped where it is, and waits for a place once its host has said that nothing of it is left.
alter table set add column leaving jsonb;
