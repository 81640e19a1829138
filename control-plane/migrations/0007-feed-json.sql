-- The feed is written and read as a whole: as text it is stored as it came, where jsonb would be taken apart and put
-- together again, while the revision is locked. Old servers insert jsonb, which is cast. The table holds minutes only.
alter table feed alter column body type json using body::json;
