// The tables of the queue, and how a database comes to them.
//
// What a relay takes next must not depend on how many messages wait. So the rows say it themselves, and
// triggers keep it right, for the relay's writes and for those of `queue retry`:
//
//   message.ready  1: its time has come, or a request was begun (state `sending`). 0: it waits for `due`.
//                  NULL: held or dead. A statement that writes `state` or `due` writes `ready`.
//   message.head   1: the oldest ready message of its line. A line is the messages that one connection
//                  brought for one mailbox; they go in order as long as nothing fails. Kept by triggers.
//   lane.first     the oldest head of a mailbox. No row: nothing of the mailbox is ready. Kept by triggers.
//   lane.paused    1: the mailbox has a row in `pause`, and nothing of it is taken. Kept by triggers.
//
// Taking reads the lanes that are not paused by `first`, and heads by mailbox: it passes over a busy
// mailbox's backlog in one step, and over the rest of a line as well. `total` is kept by triggers too.

import type { DatabaseSync } from "node:sqlite";
import { StoreSetupError } from "./errors.ts";

/** "SORq": tells this program's databases from others'. */
const APPLICATION = 0x534f5271;

/** Each brings a database to the next version, which is its place in the list, from 1. Never changed. */
export const MIGRATIONS: readonly string[] = [
  `
  create table message (
    seq integer primary key,
    id text not null unique,
    state text not null check (state in ('queued', 'sending', 'held', 'dead')),
    ready integer check (ready in (0, 1)),
    head integer not null check (head in (0, 1)),
    due integer not null,
    attempts integer not null,
    code text not null,
    received integer not null,
    size integer not null,
    octets integer not null,
    in_file integer not null check (in_file in (0, 1)),
    mailbox text not null,
    account text not null,
    connection text not null,
    record blob not null,
    note blob not null
  ) strict;
  create index message_line on message (mailbox, connection, seq) where ready = 1;
  create index message_head on message (mailbox, seq) where head = 1;
  create index message_due on message (due) where ready = 0;
  create index message_waiting on message (seq) where ready = 0;
  create index message_failed on message (mailbox, seq) where ready = 0;

  -- Apart from the message: an update of a row writes all of it again.
  create table content (seq integer primary key, octets blob not null) strict;

  create table lane (
    mailbox text primary key,
    first integer not null,
    paused integer not null check (paused in (0, 1))
  ) strict, without rowid;
  create index lane_first on lane (first) where paused = 0;
  create index lane_paused on lane (first) where paused = 1;

  create table pause (mailbox text primary key, until integer not null) strict, without rowid;
  create index pause_until on pause (until);
  create trigger pause_added after insert on pause begin
    update lane set paused = 1 where mailbox = new.mailbox;
  end;
  create trigger pause_ended after delete on pause begin
    update lane set paused = 0 where mailbox = old.mailbox;
  end;

  create table total (
    state text primary key,
    messages integer not null,
    octets integer not null
  ) strict, without rowid;
  insert into total values ('queued', 0, 0), ('sending', 0, 0), ('held', 0, 0), ('dead', 0, 0);

  create table note (
    key text primary key,
    value blob not null,
    until integer not null
  ) strict, without rowid;
  create index note_until on note (until);

  -- The relay adds a message with its \`head\`: it is the youngest, so nothing else changes.
  create trigger message_added after insert on message begin
    update total set messages = messages + 1, octets = octets + new.octets where state = new.state;
    insert into lane
      select new.mailbox, new.seq, exists (select 1 from pause where mailbox = new.mailbox)
      where new.head = 1 on conflict do nothing;
  end;

  create trigger message_state after update of state on message when new.state <> old.state begin
    update total set messages = messages - 1, octets = octets - old.octets where state = old.state;
    update total set messages = messages + 1, octets = octets + new.octets where state = new.state;
  end;

  create trigger message_ready after update of ready on message
    when new.ready = 1 and old.ready is not 1
  begin
    -- The next younger one of its line is the head so far, if this one is to be.
    update message set head = 0 where head = 1 and seq = (
      select min(seq) from message
      where mailbox = new.mailbox and connection = new.connection and ready = 1 and seq > new.seq
    );
    update message set head = 1 where head = 0 and seq = (
      select min(seq) from message
      where mailbox = new.mailbox and connection = new.connection and ready = 1
    );
    insert into lane
      select new.mailbox, new.seq, exists (select 1 from pause where mailbox = new.mailbox) where true
      on conflict (mailbox) do update set first = excluded.first where excluded.first < first;
  end;

  create trigger message_unready after update of ready on message
    when old.ready = 1 and new.ready is not 1
  begin
    update message set head = 0 where seq = new.seq and head = 1;
    update message set head = 1 where head = 0 and seq = (
      select min(seq) from message
      where mailbox = new.mailbox and connection = new.connection and ready = 1
    );
    delete from lane where mailbox = new.mailbox and first = new.seq;
    insert into lane
      select mailbox, seq, exists (select 1 from pause where mailbox = new.mailbox)
      from message where mailbox = new.mailbox and head = 1 order by seq limit 1
      on conflict do nothing;
  end;

  create trigger message_removed after delete on message begin
    delete from content where seq = old.seq;
    update total set messages = messages - 1, octets = octets - old.octets where state = old.state;
  end;

  create trigger message_removed_ready after delete on message when old.ready = 1 begin
    update message set head = 1 where head = 0 and seq = (
      select min(seq) from message
      where mailbox = old.mailbox and connection = old.connection and ready = 1
    );
    delete from lane where mailbox = old.mailbox and first = old.seq;
    insert into lane
      select mailbox, seq, exists (select 1 from pause where mailbox = old.mailbox)
      from message where mailbox = old.mailbox and head = 1 order by seq limit 1
      on conflict do nothing;
  end;
  `,
  `
  -- What each account has, so that none takes all of the queue: kept by triggers, as \`total\` is.
  create table share (
    account text primary key,
    messages integer not null,
    octets integer not null
  ) strict, without rowid;
  insert into share select account, count(*), sum(octets) from message group by account;

  create trigger share_added after insert on message begin
    insert into share values (new.account, 1, new.octets)
      on conflict do update set messages = messages + 1, octets = octets + excluded.octets;
  end;
  create trigger share_removed after delete on message begin
    update share set messages = messages - 1, octets = octets - old.octets where account = old.account;
    delete from share where account = old.account and messages = 0;
  end;
  `,
  `
  -- When the first of the dead messages was given up, however many there are.
  create index message_dead on message (due) where state = 'dead';
  `,
];

/**
 * Sets a connection up so that what is committed is on stable storage, and makes the tables or brings
 * them to the newest version.
 *
 * @throws StoreSetupError, and what SQLite says
 */
export function setUp(db: DatabaseSync, path: string, migrations = MIGRATIONS): void {
  const version = recognize(db, path, migrations);
  // Before the first table; later it would need a `vacuum` of all.
  if (version === 0) db.exec("pragma auto_vacuum = incremental");
  const { journal_mode: mode } = db.prepare("pragma journal_mode = wal").get() as {
    readonly journal_mode: string;
  };
  if (mode !== "wal") {
    throw new StoreSetupError(
      "SQLITE_CANTOPEN",
      `${path}: its file system does not let SQLite keep a write-ahead log (journal_mode stays ` +
        `${mode}): put the queue on a disk of this machine`,
    );
  }
  configure(db);
  for (const [index, migration] of migrations.entries()) {
    if (index < version) continue;
    db.exec("begin immediate");
    try {
      db.exec(migration);
      db.exec(`pragma application_id = ${APPLICATION}; pragma user_version = ${index + 1}`);
      db.exec("commit");
    } catch (error) {
      if (db.isTransaction) db.exec("rollback");
      throw error;
    }
  }
}

/**
 * The same for a database that a relay has made already.
 *
 * @throws StoreSetupError, and what SQLite says
 */
export function setUpExisting(db: DatabaseSync, path: string): void {
  const version = recognize(db, path, MIGRATIONS);
  if (version < MIGRATIONS.length) {
    throw new StoreSetupError(
      "SCHEMA",
      version === 0
        ? `${path} is empty: no relay has used it as a queue yet`
        : `${path} was made by an older version of this program: start the relay once, it brings it ` +
          `from schema ${version} to ${MIGRATIONS.length}`,
    );
  }
  configure(db);
}

/** How long to wait for another process's write. */
export const BUSY_TIMEOUT = 5000;

function configure(db: DatabaseSync): void {
  // FULL: each commit is synced before it returns, in WAL mode too. The triggers do not call one another.
  db.exec("pragma synchronous = full; pragma foreign_keys = off; pragma recursive_triggers = off");
}

/** @returns the version of the schema; 0 for an empty database */
function recognize(db: DatabaseSync, path: string, migrations: readonly string[]): number {
  const number = (pragma: string) =>
    Object.values(db.prepare(`pragma ${pragma}`).get() as Record<string, number>)[0]!;
  const version = number("user_version");
  const application = number("application_id");
  const isEmpty = db.prepare("select 1 from sqlite_schema limit 1").get() === undefined;
  if (application !== APPLICATION && !isEmpty || application !== 0 && application !== APPLICATION) {
    throw new StoreSetupError(
      "SCHEMA",
      `${path} is a database of another program: give the queue a file of its own in QUEUE_URL`,
    );
  }
  if (version > migrations.length) {
    throw new StoreSetupError(
      "SCHEMA",
      `${path} was made by a newer version of this program (its schema is ${version}, this version ` +
        `knows up to ${migrations.length}): run that version`,
    );
  }
  return version;
}
