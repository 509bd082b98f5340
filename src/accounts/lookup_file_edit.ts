// Edits the text of LOOKUP_FILE: one entry, in the style of the file. Everything else stays to the octet.

import { type Node, parseTree } from "jsonc-parser";

/** Columns and their new values; an undefined one is removed. */
export type ColumnChanges = Readonly<Record<string, string | boolean | undefined>>;

/** The text of a file that has no entries yet. */
export const EMPTY_FILE = "{}\n";

/**
 * Changes columns of an entry, or adds the entry at the end.
 *
 * @param text that a LookupFileReader accepts
 */
export function withChanges(text: string, id: string, changes: ColumnChanges): string {
  const root = rootOf(text);
  if (propertyOf(root, id) === undefined) {
    const columns = Object.entries(changes).filter(([, value]) => value !== undefined);
    return withProperty(text, root, id, Object.fromEntries(columns));
  }
  let changed = text;
  for (const [name, value] of Object.entries(changes)) {
    // Offsets change with each edit.
    const entry = propertyOf(rootOf(changed), id)!.children![1]!;
    const column = propertyOf(entry, name);
    if (value === undefined) {
      if (column !== undefined) changed = withoutProperty(changed, entry, column);
    } else if (column === undefined) changed = withProperty(changed, entry, name, value);
    else {
      const { offset, length } = column.children![1]!;
      changed = replaced(changed, offset, offset + length, JSON.stringify(value));
    }
  }
  return changed;
}

/** Removes an entry. */
export function withoutEntry(text: string, id: string): string {
  const root = rootOf(text);
  const entry = propertyOf(root, id);
  return entry === undefined ? text : withoutProperty(text, root, entry);
}

function rootOf(text: string): Node {
  return parseTree(text)!;
}

function propertyOf({ children = [] }: Node, name: string): Node | undefined {
  return children.find(({ children: [key] = [] }) => key?.value === name);
}

function withoutProperty(text: string, parent: Node, property: Node): string {
  const all = parent.children!;
  const index = all.indexOf(property);
  const [before, next] = [all[index - 1], all[index + 1]];
  if (before !== undefined) return replaced(text, endOf(before), endOf(property), "");
  return next === undefined
    ? replaced(text, parent.offset + 1, endOf(parent) - 1, "")
    : replaced(text, property.offset, next.offset, "");
}

/** Adds a property after the others, on a line of its own if they have one. */
function withProperty(text: string, parent: Node, name: string, value: unknown): string {
  const last = parent.children?.at(-1);
  const style = styleOf(text);
  if (last === undefined) {
    const outer = indentAt(text, parent.offset);
    const inner = outer + style.unit;
    const property = propertyText(name, valueText(value, inner, style, undefined));
    const lines = `{${style.end}${inner}${property}${style.end}${outer}}`;
    return replaced(text, parent.offset, endOf(parent), lines);
  }
  const indent = ownLineIndent(text, last);
  const example = last.children![1]!;
  const like = text.slice(example.offset, endOf(example));
  const property = propertyText(name, valueText(value, indent ?? "", style, like));
  const separator = indent === undefined ? ", " : `,${style.end}${indent}`;
  return replaced(text, endOf(last), endOf(last), separator + property);
}

function propertyText(name: string, value: string): string {
  return `${JSON.stringify(name)}: ${value}`;
}

/** @param like the text of another value, which has one line or several */
function valueText(
  value: unknown,
  indent: string,
  { unit, end }: Style,
  like: string | undefined,
): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const properties = Object.entries(value).map(([name, one]) =>
    propertyText(name, JSON.stringify(one))
  );
  const isLine = like !== undefined && /^\{.*\S.*\}$/.test(like);
  if (isLine) return `{ ${properties.join(", ")} }`;
  const lines = properties.join(`,${end}${indent}${unit}`);
  return `{${end}${indent}${unit}${lines}${end}${indent}}`;
}

interface Style {
  /** Of one level. */
  readonly unit: string;
  /** Of a line. */
  readonly end: string;
}

function styleOf(text: string): Style {
  const [, end = "\n", unit = "  "] = /^\s*\{(\r?\n)([ \t]+)"/.exec(text) ?? [];
  return { unit, end: text.includes("\r\n") ? "\r\n" : end };
}

/** The white space before it, if nothing else is before it on its line. */
function ownLineIndent(text: string, { offset }: Node): string | undefined {
  const [, indent] = /\n([ \t]*)$/.exec(text.slice(lineStart(text, offset) - 1, offset)) ?? [];
  return indent;
}

/** The white space that its line begins with. */
function indentAt(text: string, offset: number): string {
  return /^[ \t]*/.exec(text.slice(lineStart(text, offset), offset))![0];
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}

function endOf({ offset, length }: Node): number {
  return offset + length;
}

function replaced(text: string, from: number, to: number, by: string): string {
  return text.slice(0, from) + by + text.slice(to);
}
