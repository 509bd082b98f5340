/** An outage of an hour and the recovery, with what was seen of it. */
import { type Memory, memory, OutageWorld } from "./outage_world.ts";

const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

/** A mailbox whose part of Graph works all the time. */
const UNHARMED = "unharmed@x.test";
/** Mailboxes of which Graph takes few requests in a minute: the first so many. */
export const SLOW_MAILBOXES = 5;

export interface OutageOptions {
  readonly messages: number;
  readonly mailboxes: number;
  /** Octets of a message. */
  readonly size: number;
  /** Requests of a slow mailbox that Graph takes in a minute. */
  readonly slow: number;
}

/** All times are milliseconds by the test's clock. */
export interface Outage {
  readonly world: OutageWorld;
  /** That were queued when the outage ended. */
  readonly messages: number;
  /** Requests to Graph in the hour, and in its busiest minute. */
  readonly requests: { readonly hour: number; readonly minute: number };
  /** With a tenth of the messages, with all, and in the midst of the recovery. */
  readonly memory: { readonly tenth: Memory; readonly all: Memory; readonly draining: Memory };
  /** A login with a token of the client's own and its message: before, meanwhile, in the recovery. */
  readonly direct: { readonly before: number; readonly during: number; readonly after: number };
  /** The same for a mailbox whose mail is just being drained. */
  readonly directFromDrained: number;
  /** A login with a secret and its message, which is queued: before and in the outage. */
  readonly queued: { readonly before: number; readonly during: number };
  /** From the end of the outage to the first message, to the last one of the others, and to the last. */
  readonly drained: { readonly first: number; readonly others: number; readonly all: number };
  /** Requests that the recovery took. */
  readonly sent: number;
}

export async function outage({ messages, mailboxes, size, slow }: OutageOptions): Promise<Outage> {
  const world = new OutageWorld({ mailboxes, size });
  const { clock, cloud } = world;
  try {
    await world.start();
    // The same traffic on a good day: the memory that it takes is not that of a long queue.
    await clock.passUntil(world.queue(messages / 2));
    await clock.passUntilIs(() => world.arrived === messages / 2, HOUR);
    const queuedBefore = await world.queueOne(mailboxes - 1);
    const before = await world.sendDirectly(UNHARMED);
    await clock.pass(MINUTE);

    const begun = clock.now();
    const since = () => clock.now() - begun;
    cloud.trouble = (mailbox) => {
      if (mailbox === UNHARMED || since() >= HOUR) return undefined;
      if (since() < HOUR / 3) return "refused";
      return since() < HOUR * 2 / 3 ? "silent" : "unavailable";
    };
    let busiest = 0;
    const pass = async (minutes: number) => {
      for (let minute = 0; minute < minutes; minute++) {
        const { requests } = cloud;
        await clock.pass(Math.min(MINUTE, begun + HOUR - clock.now()));
        busiest = Math.max(busiest, cloud.requests - requests);
      }
    };
    const first = cloud.requests;
    const tenth = Math.round(messages / 10);
    await world.queue(tenth);
    await pass(10);
    const ofTenth = await memory();
    await world.queue(messages - tenth - 1);
    await pass(20);
    const ofAll = await memory();
    const queuedDuring = await world.queueOne(mailboxes - 2);
    const during = await world.sendDirectly(UNHARMED);
    await pass(30);
    const inHour = cloud.requests - first - 1;

    const others = world.mailboxes.slice(SLOW_MAILBOXES);
    const slowOnes = new Set(
      world.mailboxes.slice(0, SLOW_MAILBOXES).map(({ address }) => address),
    );
    cloud.perMinute = (mailbox) => slowOnes.has(mailbox) ? slow : undefined;
    const sentBefore = cloud.requests;
    const arrivedBefore = world.arrived;
    await clock.passUntilIs(() => world.arrived > arrivedBefore, HOUR);
    const toFirst = since() - HOUR;
    await clock.passUntilIs(() => world.arrived > arrivedBefore + messages / 2, HOUR);
    const draining = await memory();
    const after = await world.sendDirectly(UNHARMED);
    const directFromDrained = await world.sendDirectly(others[0]!.address);
    const isDrained = ({ arrived, queued }: typeof others[number]) => arrived.length >= queued;
    await clock.passUntilIs(() => others.every(isDrained), HOUR);
    const toOthers = since() - HOUR;
    await clock.passUntilIs(() => world.mailboxes.every(isDrained), HOUR);
    const toAll = since() - HOUR;
    // What would be sent twice, is sent now.
    await clock.pass(MINUTE);
    return {
      world,
      messages,
      requests: { hour: inHour, minute: busiest },
      memory: { tenth: ofTenth, all: ofAll, draining },
      direct: { before, during, after },
      directFromDrained,
      queued: { before: queuedBefore, during: queuedDuring },
      drained: { first: toFirst, others: toOthers, all: toAll },
      sent: cloud.requests - sentBefore - 2,
    };
  } finally {
    await world.stop();
  }
}
