// The completions of commands, options and actions for bash, zsh and fish.

import type { OptionText, ProgramText } from "./commands.ts";

/** By its name, a value that is a file. */
const FILE = "file";

/** https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html */
export function bashCompletion({ name, options, commands }: ProgramText): string {
  const all = [...options, ...commands.flatMap((command) => command.options)];
  const names = commands.map((command) => command.name);
  const pattern = (found: readonly string[]) => [...new Set(found)].sort().join(" | ");
  const taking = (file: boolean) =>
    all.filter((option) => takesValue(option) && (option.value === FILE) === file)
      .flatMap((option) => option.names);
  const cases = commands.flatMap(({ name, options, actions }) => [
    `    ${name})`,
    `      options="${namesOf(options)}"`,
    ...(actions.length === 0
      ? []
      : [`      if ((words == 0)); then arguments="${actions.join(" ")}"; fi`]),
    "      ;;",
  ]);
  return `# Completion for bash of ${name}.

${functionName(name)}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local i word command="" words=0 options="" arguments=""
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
      ${pattern([...taking(true), ...taking(false)])}) ((i++)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=$word; else ((words++)); fi ;;
    esac
  done
  case $prev in
    ${pattern(taking(true))})
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
      ;;
    ${pattern(taking(false))})
      return
      ;;
  esac
  case $command in
    "")
      options="${namesOf(options)}"
      arguments="${names.join(" ")} help"
      ;;
${cases.join("\n")}
    help)
      if ((words == 0)); then arguments="${names.join(" ")}"; fi
      ;;
  esac
  if [[ $cur == -* ]]; then arguments=$options; fi
  mapfile -t COMPREPLY < <(compgen -W "$arguments" -- "$cur")
}
complete -F ${functionName(name)} ${name}
`;
}

/** https://zsh.sourceforge.io/Doc/Release/Completion-System.html */
export function zshCompletion({ name, options, commands }: ProgramText): string {
  const described = (name: string, description: string) =>
    zshQuoted(`${name}:${description.replaceAll(":", "\\:")}`);
  const cases = commands.flatMap(({ name, options, actions }) => [
    `        ${name})`,
    "          _arguments \\",
    ...options.flatMap(zshOption).map((spec) => `            ${spec} \\`),
    actions.length === 0
      ? "            '*: :'"
      : `            ${zshQuoted(`1:action:(${actions.join(" ")})`)} '*: :'`,
    "          ;;",
  ]);
  return `#compdef ${name}
# Completion for zsh of ${name}.

_${name}() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands
  commands=(
${commands.map((command) => `    ${described(command.name, command.description)}`).join("\n")}
    'help:print the help of a command'
  )
  _arguments -C \\
${options.flatMap(zshOption).map((spec) => `    ${spec} \\`).join("\n")}
    '1: :->command' '*:: :->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
${cases.join("\n")}
        help) _describe command commands ;;
      esac
      ;;
  esac
}

_${name} "$@"
`;
}

function zshOption({ names, description, value, isValueOptional }: OptionText): string[] {
  const text = description.replace(/[[\]:\\]/g, "\\$&");
  const action = value === FILE ? "_files" : " ";
  const argument = value === undefined ? "" : `${isValueOptional ? "::" : ":"}${value}:${action}`;
  const others = names.length > 1 ? `(${names.join(" ")})` : "";
  return names.map((name) => zshQuoted(`${others}${name}[${text}]${argument}`));
}

function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** https://fishshell.com/docs/current/completions.html */
export function fishCompletion({ name, options, commands }: ProgramText): string {
  const complete = `complete -c ${name}`;
  const names = commands.map((command) => command.name);
  const seen = (words: readonly string[]) => `__fish_seen_subcommand_from ${words.join(" ")}`;
  return [
    `# Completion for fish of ${name}.`,
    "",
    `${complete} -f`,
    ...options.map((option) => `${complete} -n __fish_use_subcommand ${fishOption(option)}`),
    ...commands.map(({ name, description }) =>
      `${complete} -n __fish_use_subcommand -a ${name} -d ${fishQuoted(description)}`
    ),
    `${complete} -n __fish_use_subcommand -a help -d 'print the help of a command'`,
    `${complete} -n '${seen(["help"])}' -a '${names.join(" ")}'`,
    ...commands.flatMap(({ name, options, actions }) => [
      "",
      ...options.map((option) => `${complete} -n '${seen([name])}' ${fishOption(option)}`),
      ...(actions.length === 0 ? [] : [
        `${complete} -n '${seen([name])}; and not ${seen(actions)}' -a '${actions.join(" ")}'`,
      ]),
    ]),
    "",
  ].join("\n");
}

function fishOption(option: OptionText): string {
  const names = option.names.map((name) =>
    name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
  );
  const value = option.value === FILE ? " -r -F" : takesValue(option) ? " -x" : "";
  return `${names.join(" ")}${value} -d ${fishQuoted(option.description)}`;
}

function fishQuoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}

/** Whether the next word is its value. */
function takesValue({ value, isValueOptional }: OptionText): boolean {
  return value !== undefined && !isValueOptional;
}

function namesOf(options: readonly OptionText[]): string {
  return options.flatMap(({ names }) => names).join(" ");
}

function functionName(name: string): string {
  return `_${name.replaceAll("-", "_")}`;
}
