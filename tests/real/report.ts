// The report of a run, as Markdown for people and as JSON for programs, without names and secrets.

import type { Result, Verdict } from "./case.ts";
import type { Answer } from "./matrix.ts";

export interface Report {
  readonly time: string;
  /** What `version` prints. */
  readonly version: string;
  readonly cloud: string;
  /** Whether an imitation on the loopback has answered: then nothing is known of a tenant. */
  readonly imitation: boolean;
  readonly answers: readonly Answer[];
  readonly results: readonly Result[];
  /** What was left undone at the end, such as messages that could not be deleted. */
  readonly notes: readonly string[];
}

const WORDS: Readonly<Record<Verdict["type"], string>> = {
  confirmed: "confirmed",
  refuted: "**refuted**",
  look: "look yourself",
  notRun: "not run",
};

const textOf = (verdict: Verdict) => verdict.type === "notRun" ? verdict.why : verdict.seen;

/** In a cell of a table. */
const cell = (text: string) =>
  text.replace(/[\r\n]+/g, " ").replaceAll("|", "\\|").replaceAll("<", "\\<").slice(0, 600);

/** Such as `12 confirmed, 2 refuted, 8 not run`. */
function summary(answers: readonly Answer[]): string {
  const types = ["confirmed", "refuted", "look", "notRun"] as const;
  return types.map((type) => {
    const count = answers.filter(({ verdict }) => verdict.type === type).length;
    return count === 0 ? "" : `${count} ${WORDS[type].replaceAll("*", "")}`;
  }).filter((text) => text !== "").join(", ");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

export function asMarkdown(report: Report, redact: (text: string) => string): string {
  const { time, version, cloud, imitation, answers, results, notes } = report;
  const text = [
    "# The relay and a real tenant",
    `${time}, ${version}, cloud ${cloud}`,
    ...(imitation ? ["**Against an imitation: this says nothing of a tenant.**"] : []),
    "## What was not confirmed",
    `${summary(answers)}.`,
    table(
      ["Fact", "Where", "What the relay takes for true", "Answer", "What was seen, or why not run"],
      answers.map(({ fact, verdict }) => [
        `\`${fact.id}\` (${fact.kind})`,
        fact.section,
        fact.statement,
        WORDS[verdict.type],
        redact(textOf(verdict)),
      ]),
    ),
    "## All cases",
    table(
      ["Case", "Question", "Expected", "Answer", "What was seen, or why not run", "Seconds"],
      results.map(({ case: { id, question, expected }, verdict, seconds }) => [
        `\`${id}\``,
        question,
        expected,
        WORDS[verdict.type],
        redact(textOf(verdict)),
        seconds.toFixed(1),
      ]),
    ),
    ...(notes.length === 0
      ? []
      : ["## Notes", notes.map((note) => `- ${redact(note)}`).join("\n")]),
  ];
  return `${text.join("\n\n")}\n`;
}

export function asJson(report: Report, redact: (text: string) => string): string {
  const { answers, results, notes, ...head } = report;
  const shown = (verdict: Verdict) => ({ answer: verdict.type, text: redact(textOf(verdict)) });
  const whole = {
    format: 1,
    ...head,
    facts: answers.map(({ fact, verdict }) => ({ ...fact, ...shown(verdict) })),
    cases: results.map(({ case: { id, question, expected, fact = null }, verdict, seconds }) => ({
      id,
      question,
      expected,
      fact,
      ...shown(verdict),
      seconds: Number(seconds.toFixed(1)),
    })),
    notes: notes.map(redact),
  };
  return `${JSON.stringify(whole, null, 2)}\n`;
}
