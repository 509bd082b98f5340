// The man page smtp-oauth-relay(1), in the macros of man(7).

import type { CommandText, OptionText, ProgramText } from "./commands.ts";

export interface SettingText {
  readonly name: string;
  readonly standard: string;
  readonly help: string;
}

/** @param date of the version, YYYY-MM-DD */
export function manPage(
  program: ProgramText,
  settings: readonly SettingText[],
  { version, date }: { readonly version: string; readonly date: string },
): string {
  const name = hyphened(program.name);
  const lines = [
    `.TH ${program.name.toUpperCase()} 1 "${date}" "${program.name} ${version}" "User Commands"`,
    ".SH NAME",
    `${name} \\- SMTP relay to Microsoft Graph`,
    ".SH SYNOPSIS",
    `.B ${name}`,
    "[\\fIcommand\\fR] [\\fIoptions\\fR]",
    ".SH DESCRIPTION",
    text(program.description),
    ".PP",
    text(
      "Devices log in with the IDs of an Entra ID app and its client secret, or with a password of " +
        "their own. For each message the relay gets a token from Entra ID, and sends the message " +
        "through Microsoft 365.",
    ),
    ".PP",
    text(
      `All settings are environment variables. A service that was installed with a package reads ` +
        `them from /etc/${program.name}/environment.`,
    ),
    ".SH OPTIONS",
    ...program.options.flatMap(option),
    ".SH COMMANDS",
    ...program.commands.flatMap((command) => commandSection(command, program.name)),
    ".SS",
    `.B ${name} help`,
    "[\\fIcommand\\fR]",
    ".PP",
    text("print the help of the program, or of one command"),
    ".SH ENVIRONMENT",
    text(
      `The settings, with their defaults. "${program.name} settings" prints those in force. ` +
        "A secret setting may also be in a file that NAME_FILE names, or be a credential of systemd.",
    ),
    ...settings.flatMap(({ name, standard, help }) => [
      ".TP",
      `\\fB${hyphened(name)}\\fR (${text(standard)})`,
      text(plain(help)),
    ]),
    ".SH FILES",
    ...files(program.name),
    ".SH EXIT STATUS",
    ...status("0", "done, or stopped as requested"),
    ...status("1", "healthcheck: not ready; check: something failed; otherwise an error"),
    ...status("2", "the command line is wrong"),
    ...status("69", "something that it needs is not available, such as a port"),
    ...status("78", "a setting or the certificate is wrong"),
    ".SH EXAMPLES",
    text("Try it without an account of Microsoft, with an inbox in the browser:"),
    ...block(`${program.name} sandbox`),
    ".PP",
    text("Check what the installed service runs with, as root:"),
    ...block(`${program.name} check --service`),
    ".SH SEE ALSO",
    ".BR systemctl (1),",
    ".BR systemd.exec (5),",
    text(`/usr/share/doc/${program.name}/`),
  ];
  return lines.join("\n") + "\n";
}

function commandSection(command: CommandText, program: string): string[] {
  return [
    ".SS",
    `.B ${hyphened(`${program} ${command.name}`)}`,
    ...usage(command),
    ".PP",
    text(command.description),
    ...command.arguments.flatMap(({ name, description }) => [
      ".TP",
      `\\fI${hyphened(name)}\\fR`,
      text(description),
    ]),
    ...command.options.flatMap(option),
    ...notes(command.notes),
  ];
}

function usage({ name, usage }: CommandText): string[] {
  const rest = usage.slice(name.length).trim();
  return rest === "" ? [] : [text(rest)];
}

function option({ flags, description }: OptionText): string[] {
  const value = /^(.*?)( [<[].*)?$/.exec(flags)!;
  return [
    ".TP",
    `\\fB${hyphened(value[1]!)}\\fR${value[2] === undefined ? "" : hyphened(value[2])}`,
    text(description),
  ];
}

/** Paragraphs; one with indented lines stays as it is. */
function notes(notes: string): string[] {
  if (notes === "") return [];
  return notes.split(/\n\n+/).flatMap((paragraph) =>
    /^ /m.test(paragraph)
      ? block(paragraph.replace(/^ {2}/gm, ""))
      : [".PP", text(paragraph.replace(/\s*\n\s*/g, " "))]
  );
}

function block(lines: string): string[] {
  return [".PP", ".nf", ".RS 4", ...lines.split("\n").map(text), ".RE", ".fi"];
}

function files(name: string): string[] {
  return ([
    [`/etc/${name}/environment`, "the settings of the service, one NAME=value a line"],
    [`/etc/${name}/cert.pem`, "the certificate of the service, with its intermediates"],
    [`/etc/${name}/key.pem`, "the key of the certificate"],
    [`/var/lib/${name}`, "the queue of the service (DELIVERY_MODE=queue)"],
  ] as const).flatMap(([path, what]) => [".TP", `\\fI${hyphened(path)}\\fR`, text(what)]);
}

function status(number: string, meaning: string): string[] {
  return [".TP", `.B ${number}`, text(meaning)];
}

/** Markdown's links and code spans as their words. */
function plain(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
}

/** One line of text that is no request (groff(7), "Escapes" and "Control characters"). */
function text(line: string): string {
  const escaped = line.replaceAll("\\", "\\e").replaceAll("…", "...").replaceAll("²", "^2")
    .replaceAll("³", "^3").replace(/--|(?<=\s|^|\[|\||=)-/g, (hyphens) => hyphened(hyphens));
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** What is typed: its hyphens are no typographic ones. */
function hyphened(typed: string): string {
  return typed.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...");
}
