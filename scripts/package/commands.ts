// The program's commands as data, read from their definition: for the man page and the completions.

import { Command, type Help, type Option } from "commander";
import { program } from "../../src/commands/program.ts";

export interface OptionText {
  /** As in the help: `--service [unit]`. */
  readonly flags: string;
  /** `-h` and `--help`, or the long one alone. */
  readonly names: readonly string[];
  readonly description: string;
  /** The name of its value; undefined where it takes none. */
  readonly value: string | undefined;
  /** The value may be left out. */
  readonly isValueOptional: boolean;
}

export interface ArgumentText {
  readonly name: string;
  readonly description: string;
}

export interface CommandText {
  readonly name: string;
  /** The words after the program's name. */
  readonly usage: string;
  readonly description: string;
  /** The words that its first argument can be; empty where it can be anything. */
  readonly actions: readonly string[];
  readonly arguments: readonly ArgumentText[];
  readonly options: readonly OptionText[];
  /** What its help says after all others, with its line breaks. */
  readonly notes: string;
}

export interface ProgramText {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionText[];
  readonly commands: readonly CommandText[];
}

/** All of them, but for `help`, whose argument is one of them. */
export function programText(): ProgramText {
  const help = program.createHelp();
  return {
    name: program.name(),
    description: program.description(),
    options: optionsOf(program, help),
    commands: program.commands.map((command) => commandText(command, help)),
  };
}

function commandText(command: Command, help: Help): CommandText {
  const usage = command.usage();
  return {
    name: command.name(),
    usage: `${command.name()} ${usage}`,
    description: command.description(),
    actions: actionsIn(usage),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      description: argument.description,
    })),
    options: optionsOf(command, help),
    notes: notesOf(command),
  };
}

function optionsOf(command: Command, help: Help): OptionText[] {
  return help.visibleOptions(command).map((option: Option) => ({
    flags: option.flags,
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: help.optionDescription(option),
    value: /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1],
    isValueOptional: option.optional,
  }));
}

/** `list|get ID|delete ID [options]` → list, get, delete */
function actionsIn(usage: string): string[] {
  if (!usage.includes("|")) return [];
  const words = usage.split("|").map((part) => part.trim().split(" ")[0]!);
  return words.every((word) => /^[a-z][a-z-]*$/.test(word)) ? words : [];
}

/** The whole help begins with what `helpInformation` has; the rest was added to it. */
function notesOf(command: Command): string {
  let text = "";
  const before = command.configureOutput();
  command.configureOutput({ ...before, writeOut: (part) => text += part });
  command.outputHelp();
  command.configureOutput(before);
  const common = command.helpInformation();
  if (!text.startsWith(common)) throw new Error(`the help of ${command.name()} has another form`);
  return text.slice(common.length).replace(/^\n+/, "").trimEnd();
}
