// The scripted faults over HTTP, for rehearsing failures: GET lists those still to come, POST adds one,
// DELETE removes all.

import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { CONNECTION_FAULTS, type Fault, FAULT_TIMES, type Faults, OPERATIONS } from "./faults.ts";

const MAX_BODY = 64 * 1024;
const MAX_DELAY = 10 * 60_000;
const MAX_TIMES = 1_000_000;

/** Must be mounted after a check of Host and Origin. */
export function faultRoutes(faults: Faults): Hono {
  const app = new Hono();
  app.get("/", (c) => c.json(faults.list()));
  app.post("/", bodyLimit({ maxSize: MAX_BODY }), async (c) => {
    if (!/^application\/json\b(?!-)/i.test(c.req.header("content-type") ?? "")) {
      return refuse(c, "the Content-Type has to be application/json");
    }
    const fault = readFault(await c.req.json().catch(() => undefined));
    if (typeof fault === "string") return refuse(c, fault);
    try {
      faults.add(fault);
    } catch (error) {
      return refuse(c, (error as Error).message);
    }
    return c.json(faults.list(), 201);
  });
  app.delete("/", (c) => {
    faults.clear();
    return c.body(null, 204);
  });
  app.all("/", (c) =>
    c.json({ error: `${c.req.method} is not for this path` }, 405, {
      Allow: "GET, HEAD, POST, DELETE",
    }));
  return app;
}

function refuse(c: Context, error: string): Response {
  return c.json({ error }, 400);
}

type Check = (value: unknown) => string | undefined;

const text: Check = (value) => typeof value === "string" ? undefined : "a string";
/** Characters that are allowed in a header field. */
const fieldText: Check = (value) =>
  typeof value === "string" && /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(value)
    ? undefined
    : "a string of visible ASCII characters";
const wholeNumber = (least: number, most: number): Check => (value) =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most
    ? undefined
    : `a whole number from ${least} to ${most}`;
const oneOf = (values: readonly string[]): Check => (value) =>
  values.includes(value as string) ? undefined : `one of ${values.join(", ")}`;
const seconds = wholeNumber(0, 1_000_000);

const CHECKS: Readonly<Record<keyof Fault, Check>> = {
  on: oneOf(OPERATIONS),
  times: wholeNumber(1, MAX_TIMES),
  skip: wholeNumber(0, MAX_TIMES),
  after: oneOf(FAULT_TIMES),
  status: wholeNumber(200, 599),
  code: text,
  message: text,
  number: wholeNumber(1, 1_000_000_000),
  retryAfter: (value) =>
    seconds(value) === undefined || fieldText(value) === undefined
      ? undefined
      : "seconds, or a date as HTTP writes it",
  location: fieldText,
  html: (value) => typeof value === "boolean" ? undefined : "true or false",
  delay: wholeNumber(0, MAX_DELAY),
  connection: oneOf(CONNECTION_FAULTS),
  hidden: wholeNumber(0, MAX_TIMES),
};

/** The fault, or an explanation of what is wrong with it. */
export function readFault(value: unknown): Fault | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return "the body has to be a JSON object";
  }
  for (const [name, given] of Object.entries(value)) {
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name as keyof Fault] : undefined;
    if (check === undefined) {
      return `unknown member ${JSON.stringify(name)}: there are ${Object.keys(CHECKS).join(", ")}`;
    }
    const wanted = check(given);
    if (wanted !== undefined) return `${name} has to be ${wanted}`;
  }
  if (!("on" in value)) return `on is missing: ${OPERATIONS.join(", ")}`;
  return value as Fault;
}
