// All fuzz targets.

import type { Target } from "./engine/target.ts";
import { addresses } from "./targets/addresses.ts";
import { entra } from "./targets/entra.ts";
import { graph, upload } from "./targets/graph.ts";
import { httpResponse } from "./targets/http_response.ts";
import { log } from "./targets/log.ts";
import { sasl, username } from "./targets/login.ts";
import { mailServer } from "./targets/mail_server.ts";
import { message, mime } from "./targets/message.ts";
import { networks } from "./targets/networks.ts";
import { proxyHeader } from "./targets/proxy_header.ts";
import { repeated, three } from "./targets/repeated.ts";
import { session } from "./targets/session.ts";
import { settings } from "./targets/settings.ts";

export const TARGETS: readonly Target[] = [
  session,
  message,
  mime,
  proxyHeader,
  username,
  sasl,
  addresses,
  networks,
  httpResponse,
  mailServer,
  graph,
  upload,
  entra,
  settings,
  log,
  repeated,
  three,
];

export function targetOf(name: string): Target {
  const target = TARGETS.find((target) => target.name === name);
  if (target === undefined) {
    throw new Error(`no such target: ${name}; there are ${TARGETS.map(({ name }) => name)}`);
  }
  return target;
}
