// `healthcheck`: requests the running relay's /readyz, for containers without curl.

import { Buffer } from "node:buffer";
import { HttpClient } from "../http/client.ts";
import { settingFor } from "../settings/environment.ts";
import { CommandError, EXIT } from "../exit.ts";

const TIMEOUT = 5_000;
/** Characters of the response that are shown: another program may listen there. */
const MAX_SHOWN = 2_000;

/** @throws CommandError if the relay is not ready */
export async function healthcheck(envFile: string | undefined): Promise<string> {
  const listen = settingFor("HTTP_LISTEN", envFile);
  if (listen === "off") throw notReady("HTTP_LISTEN is off: there is nothing to ask");
  const { hostname, port } = listen;
  const everywhere = hostname === "::" || hostname === "0.0.0.0";
  const host = everywhere ? "127.0.0.1" : bracketed(hostname);
  const http = new HttpClient();
  const result = await http.request({
    method: "GET",
    url: new URL(`http://${host}:${port}/readyz`),
    headers: {},
    timeout: TIMEOUT,
  });
  http.close();
  if (result.type === "failure") throw notReady(`${host}:${port} does not answer: ${result.code}`);
  const body = Buffer.from(result.body).toString("utf8").trim().slice(0, MAX_SHOWN);
  // Another program on this port would respond in another form.
  if (result.status !== 200 && result.status !== 503 || !body.startsWith('{"ready":')) {
    throw notReady(`${host}:${port} answers ${result.status}, but is not this relay`);
  }
  if (result.status !== 200) throw notReady(`not ready: ${body}`);
  return "ready";
}

function bracketed(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

function notReady(line: string): CommandError {
  return new CommandError(EXIT.failure, [line]);
}
