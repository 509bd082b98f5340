// The figures of a run: their names, units and how they are shown. A scenario's figures are a table.

export interface Figure {
  readonly title: string;
  readonly digits: number;
}

export interface Section {
  readonly scenario: string;
  readonly title: string;
  /** What was done, for the reader of the table. */
  readonly text: string;
  readonly figures: Readonly<Record<string, Figure>>;
}

export const SECTIONS: readonly Section[] = [
  {
    scenario: "steady",
    title: "Connections that stay",
    text: "50 connections send messages of 10 KB one after another, over STARTTLS and AUTH. " +
      "smtp-sink gets plain text without a login and throws it away: a floor for receiving. The " +
      "sketch moves the octets to the cloud and does nothing else: a floor for a relay on Bun.",
    figures: {
      "steady.rate": { title: "messages a second", digits: 0 },
      "steady.cpu": { title: "CPU, s for 1,000 messages", digits: 3 },
      "steady.memory": { title: "memory after a round, MB", digits: 0 },
    },
  },
  {
    scenario: "sessions",
    title: "A connection for each message",
    text: "Clients connect, log in over STARTTLS, send a message of 10 KB and quit, sixteen at a " +
      "time. TLS 1.3, no session is resumed.",
    figures: {
      "sessions.ecdsa.cpu": { title: "ECDSA P-256: CPU, s for 1,000", digits: 2 },
      "sessions.rsa.cpu": { title: "RSA 2048: CPU, s for 1,000", digits: 2 },
      "sessions.ecdsa.rate": { title: "ECDSA P-256: sessions a second", digits: 0 },
      "sessions.rsa.rate": { title: "RSA 2048: sessions a second", digits: 0 },
    },
  },
  {
    scenario: "idle",
    title: "Idle connections",
    text: "Connections that have logged in over TLS and say nothing: resident memory for each.",
    figures: {
      "idle.first": { title: "the first 1,000, KiB each", digits: 1 },
      "idle.marginal": { title: "1,000 to 4,000, KiB each", digits: 1 },
    },
  },
  {
    scenario: "start",
    title: "Start and rest",
    text: "From start to the greeting, and memory a second later. The pod has 420 variables of " +
      "other services, as Kubernetes sets them.",
    figures: {
      "start.time": { title: "start to greeting, ms", digits: 0 },
      "start.pod": { title: "the same in a pod, ms", digits: 0 },
      "rest.anonymous": { title: "own (anonymous) memory, MiB", digits: 1 },
      "rest.resident": { title: "all that is resident, MiB", digits: 0 },
    },
  },
  {
    scenario: "large",
    title: "Large messages",
    text:
      "Four messages of 25 MB, each an attachment, at the same time: 95 MiB of mail in flight. " +
      "By sendMail, which Graph itself would not take, and by a draft with an upload, which only " +
      "this relay does.",
    figures: {
      "large.sendMail.rate": { title: "sendMail: MB a second", digits: 0 },
      "large.sendMail.peak": { title: "sendMail: MiB above rest at most", digits: 0 },
      "large.sendMail.cpu": { title: "sendMail: CPU, ms for a MB", digits: 1 },
      "large.upload.rate": { title: "upload: MB a second", digits: 0 },
      "large.upload.peak": { title: "upload: MiB above rest at most", digits: 0 },
      "large.upload.cpu": { title: "upload: CPU, ms for a MB", digits: 1 },
    },
  },
  {
    scenario: "slow",
    title: "Graph takes a second",
    text:
      "Each connection has a sender of its own, and sends one message after another. Ideal is " +
      "a message a second on each connection. CPU is that of a login and six messages.",
    figures: {
      "slow.200.share": { title: "200 connections: share of the ideal", digits: 3 },
      "slow.1000.share": { title: "1,000 connections: share of the ideal", digits: 3 },
      "slow.5000.share": { title: "5,000 connections: share of the ideal", digits: 3 },
      "slow.200.cpu": { title: "200 connections: CPU, ms each", digits: 2 },
      "slow.1000.cpu": { title: "1,000 connections: CPU, ms each", digits: 2 },
      "slow.5000.cpu": { title: "5,000 connections: CPU, ms each", digits: 2 },
    },
  },
  {
    scenario: "pace",
    title: "Half of the top rate, and twice",
    text: "Half: as many messages a second as half of this relay's top rate, on 50 connections, " +
      "from the last octet of a message to the reply; the cloud answers at once. Twice: twice the " +
      "top rate is offered on 200 connections of 10 accounts, for all that are free; from MAIL to " +
      "the reply after the message. Fairness is the account with the fewest messages beside the " +
      "one with the most.",
    figures: {
      "half.p50": { title: "half: ms, median", digits: 2 },
      "half.p99": { title: "half: ms, 99 of 100", digits: 2 },
      "half.rate": { title: "half: messages a second", digits: 0 },
      "twice.rate": { title: "twice: messages a second", digits: 0 },
      "twice.errors": { title: "twice: errors", digits: 0 },
      "twice.p99": { title: "twice: ms, 99 of 100", digits: 0 },
      "twice.fairness": { title: "twice: fairness", digits: 2 },
    },
  },
];
