// The command: reads the settings, says what will be sent to whom, and goes on only if that was confirmed.

import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Bench, SUBJECT } from "./bench.ts";
import { CASES } from "./cases/all.ts";
import { announced, answers, runCases, runnable } from "./matrix.ts";
import { redactor } from "./redact.ts";
import type { Variables } from "./relays.ts";
import { asJson, asMarkdown } from "./report.ts";
import { missing, readSettings, type RealSettings } from "./settings.ts";
import type { Case } from "./case.ts";

export const USAGE = `usage: npm run real -- --settings FILE --send-real-mail

  --settings FILE     tenant, app and mailboxes: see tests/real/README.md
  --send-real-mail    send the messages. Without it, only say how many and to whom
  --only PREFIX       the cases whose ids begin so, such as sizes; may be given several times
  --report PATH       where to write the report: PATH.md and PATH.json (real-report)
  --keep              leave the messages in the mailboxes`;

const OPTIONS = {
  settings: { type: "string" },
  "send-real-mail": { type: "boolean" },
  only: { type: "string", multiple: true },
  report: { type: "string", default: "real-report" },
  keep: { type: "boolean" },
  help: { type: "boolean" },
} as const;

/** Messages of a run at most, whatever the matrix has grown to. */
export const MOST_MESSAGES = 120;

export interface World {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly print: (line: string) => void;
  /** Further settings of the relays. */
  readonly variables?: Variables;
}

/** @returns the exit status: 0 done, 1 it could not be done or begun, 2 refused before anything was sent */
export async function main(args: readonly string[], world: World): Promise<number> {
  const { environment, print } = world;
  let options;
  try {
    options = parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error) {
    return refuse(print, (error as Error).message.split("\n")[0]!);
  }
  if (options.help === true) {
    print(USAGE);
    return 0;
  }
  if (isCi(environment)) return refuse(print, "this sends real mail, and does not run in CI");
  if (options.settings === undefined) return refuse(print, "--settings is missing");
  let settings: RealSettings;
  try {
    settings = readSettings(options.settings);
  } catch (error) {
    return refuse(print, (error as Error).message);
  }
  const { only } = options;
  const chosen = CASES.filter(({ id }) => only?.some((prefix) => id.startsWith(prefix)) ?? true);
  if (chosen.length === 0) return refuse(print, "no case has an id that begins so");
  const total = printPlan(print, chosen, settings);
  if (total > MOST_MESSAGES) return refuse(print, `more than ${MOST_MESSAGES} messages`);
  if (options["send-real-mail"] !== true) {
    return refuse(print, "nothing was sent: add --send-real-mail to send these messages");
  }
  return await carryOut(chosen, settings, { ...world, options });
}

function refuse(print: World["print"], why: string): 2 {
  print(`real: ${why}`);
  return 2;
}

/** All services of CI set `CI`; some also have names of their own. */
function isCi(environment: World["environment"]): boolean {
  const isSet = (name: string) => !/^(?:|0|false)$/i.test(environment[name] ?? "");
  return ["CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "JENKINS_URL"].some(isSet);
}

/** @returns how many messages */
function printPlan(print: World["print"], cases: readonly Case[], settings: RealSettings): number {
  const able = runnable(cases, settings);
  const lacking = new Set(cases.flatMap(({ needs }) => missing(settings, needs)));
  const without = lacking.size === 0 ? "" : `; the settings have no ${[...lacking].join(", ")}`;
  print(`${able.length} of ${cases.length} cases${without}.`);
  print("At most, these messages are sent:");
  let total = 0;
  for (const [role, count] of announced(able)) {
    total += count;
    print(`  ${String(count).padStart(3)} to ${settings.mailboxes[role]} (${role})`);
  }
  print(
    `  ${String(total).padStart(3)} in all, from ${settings.mailboxes.sender} and others of its`,
  );
  print(`      tenant. Their subjects begin with "${SUBJECT}".`);
  return total;
}

interface Running extends World {
  readonly options: { readonly report: string; readonly keep?: boolean };
}

async function carryOut(
  cases: readonly Case[],
  settings: RealSettings,
  { print, options, variables = {} }: Running,
): Promise<number> {
  const bench = new Bench(settings, { run: randomBytes(4).toString("hex"), variables });
  const redact = redactor(settings);
  const notes: string[] = [];
  try {
    const time = new Date().toISOString();
    await bench.tryReading();
    const { stdout } = await bench.relays.command(["version"]);
    const results = await runCases(bench, cases, ({ case: { id }, verdict, seconds }) => {
      const text = verdict.type === "notRun" ? verdict.why : verdict.seen;
      print(`${verdict.type.padEnd(9)} ${id} (${seconds.toFixed(1)} s): ${redact(text)}`);
    });
    if (options.keep !== true) notes.push(await clear(bench));
    const report = {
      time,
      version: stdout.trim(),
      cloud: settings.cloud ?? "public",
      imitation: settings.imitation !== undefined,
      answers: answers(results),
      results,
      notes,
    };
    writeFileSync(`${options.report}.md`, asMarkdown(report, redact));
    writeFileSync(`${options.report}.json`, asJson(report, redact));
    print(`The report is in ${options.report}.md and ${options.report}.json.`);
    return 0;
  } catch (error) {
    print(`real: ${redact(error instanceof Error ? error.message : String(error))}`);
    return 1;
  } finally {
    await bench.close();
  }
}

async function clear(bench: Bench): Promise<string> {
  try {
    return `${await bench.clear()} messages of this run were deleted from the mailboxes`;
  } catch (error) {
    const { message } = error as Error;
    return `messages of this run are left: delete those whose subject begins with "${SUBJECT}" (${message})`;
  }
}
