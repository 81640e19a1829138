-- A set that may run elsewhere only since this generation: its host may hold an earlier one, in which it was to stay there.
alter table set add column local_generation integer;
