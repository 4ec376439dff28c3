-- Its age at the end of the archive is what a disaster would cost. It must not wait for a standby or a lock.
SET synchronous_commit = local;
SET lock_timeout = '5s';
SET client_min_messages = warning;
DO $$
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN;
  END IF;
  CREATE SCHEMA IF NOT EXISTS holdfast;
  CREATE TABLE IF NOT EXISTS holdfast.canary (singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), at timestamptz NOT NULL);
  INSERT INTO holdfast.canary (at) VALUES (clock_timestamp()) ON CONFLICT (singleton) DO UPDATE SET at = excluded.at;
END
$$;
