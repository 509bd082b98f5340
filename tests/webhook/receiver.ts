/** A webhook's receiver on the loopback, which checks signatures by the package of Standard Webhooks. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";

export const WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** An event that came with a valid signature. */
export interface ReceivedEvent {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
}

export interface Receiver {
  readonly url: string;
  /** What it has accepted. */
  readonly events: readonly ReceivedEvent[];
  /** The id of each request, whatever its answer. */
  readonly asked: readonly string[];
  /** Answers the next requests, one each; then 204 again. */
  answers: ((response: ServerResponse) => void)[];
  /** The status for an event that it refuses. */
  refuses: (event: ReceivedEvent) => number | undefined;
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const events: ReceivedEvent[] = [];
  const asked: string[] = [];
  const verifier = new Webhook(WEBHOOK_SECRET);
  const receiver = {
    events,
    asked,
    answers: [] as Receiver["answers"],
    refuses: (() => undefined) as Receiver["refuses"],
    url: "",
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    const id = String(request.headers["webhook-id"]);
    asked.push(id);
    const answer = receiver.answers.shift();
    if (answer !== undefined) return answer(response);
    // Throws if the signature is not right, or more than five minutes old.
    const event = verifier.verify(body, request.headers as Record<string, string>);
    const received = { id, ...event as Omit<ReceivedEvent, "id"> };
    const refused = receiver.refuses(received);
    if (refused !== undefined) return void response.writeHead(refused).end();
    events.push(received);
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=abc`;
  return receiver;
}

/** An answer with this status. */
export function status(code: number, headers: Record<string, string> = {}) {
  return (response: ServerResponse) => void response.writeHead(code, headers).end();
}
