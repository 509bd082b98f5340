/**
 * What an ARM template deploys with given parameters: its expressions are evaluated as Azure does
 * (https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions).
 */
import { FUNCTIONS, property, type Value } from "./functions.ts";

export interface Deployment {
  /** What is made, without `condition` and `dependsOn`. */
  readonly resources: readonly Value[];
  readonly outputs: Readonly<Record<string, Value>>;
  /** By the id of a resource: other resources of the template that it is made after. */
  readonly after: ReadonlyMap<string, readonly string[]>;
  /** By the id of a resource: all ids that it names. */
  readonly names: ReadonlyMap<string, ReadonlySet<string>>;
  readonly usedParameters: ReadonlySet<string>;
  readonly usedVariables: ReadonlySet<string>;
}

const TOKEN = /\s*(?:'((?:[^']|'')*)'|(-?\d+)|([A-Za-z]\w*)|([()[\],.]))/y;

export function armDeployment(template: Value, given: Readonly<Record<string, Value>>): Deployment {
  const usedParameters = new Set<string>();
  const usedVariables = new Set<string>();
  const values = new Map<string, Value>();
  const counters = new Map<string, number>();
  let ids = new Set<string>();

  function parameter(name: string): Value {
    usedParameters.add(name);
    const { defaultValue } = property(template.parameters, name);
    if (name in given) return given[name];
    if (defaultValue === undefined) throw new Error(`the parameter ${name} is not given`);
    return evaluate(defaultValue);
  }

  function variable(name: string): Value {
    usedVariables.add(name);
    if (!values.has(name)) values.set(name, evaluate(property(template.variables, name)));
    // What it names, whoever uses it names, too.
    for (const id of idsIn(values.get(name))) ids.add(id);
    return values.get(name);
  }

  function expression(text: string): Value {
    TOKEN.lastIndex = 0;
    const tokens: [kind: "text" | "number" | "name" | "sign", value: string][] = [];
    while (TOKEN.lastIndex < text.length) {
      const match = TOKEN.exec(text);
      if (match === null) throw new Error(`"${text}" is no expression`);
      const [, literal, number, name, sign] = match;
      if (literal !== undefined) tokens.push(["text", literal.replaceAll("''", "'")]);
      else if (number !== undefined) tokens.push(["number", number]);
      else if (name !== undefined) tokens.push(["name", name]);
      else tokens.push(["sign", sign!]);
    }
    let next = 0;
    const isSign = (sign: string) => tokens[next]?.[0] === "sign" && tokens[next]![1] === sign;
    function take(sign: string): void {
      if (!isSign(sign)) throw new Error(`"${text}" lacks a ${sign}`);
      next++;
    }

    /** @param isWanted whether its value counts: one of the two of `if` does not */
    function term(isWanted: boolean): Value {
      const [kind, value] = tokens[next++] ?? ["sign", ""];
      if (kind === "text") return value;
      if (kind === "number") return Number(value);
      if (kind !== "name") throw new Error(`"${text}" ends too early`);
      take("(");
      let result: Value;
      if (value === "if") {
        const condition = term(isWanted);
        take(",");
        const yes = term(isWanted && condition === true);
        take(",");
        const no = term(isWanted && condition === false);
        if (isWanted && typeof condition !== "boolean") {
          throw new Error(`${condition}: no condition`);
        }
        result = condition ? yes : no;
      } else {
        const args: Value[] = [];
        while (!isSign(")")) {
          if (args.length > 0) take(",");
          args.push(term(isWanted));
        }
        result = isWanted ? called(value, args) : undefined;
      }
      take(")");
      for (;;) {
        if (isSign(".")) {
          next++;
          const [, name] = tokens[next++]!;
          if (isWanted) result = property(result, name);
        } else if (isSign("[")) {
          next++;
          const index = term(isWanted);
          take("]");
          if (isWanted) result = property(result, String(index));
        } else return result;
      }
    }
    const result = term(true);
    if (next < tokens.length) throw new Error(`"${text}" goes on after its end`);
    return result;
  }

  function called(name: string, args: Value[]): Value {
    if (name === "parameters") return parameter(args[0]);
    if (name === "variables") return variable(args[0]);
    if (name === "copyIndex") return property(Object.fromEntries(counters), args[0]);
    const result = property(FUNCTIONS, name)(...args);
    if (name === "reference") ids.add(args[0]);
    for (const id of idsIn(result)) ids.add(id);
    return result;
  }

  function evaluate(value: Value): Value {
    if (typeof value === "string") {
      return value.startsWith("[") && value.endsWith("]") ? expression(value.slice(1, -1)) : value;
    }
    if (Array.isArray(value)) return value.map(evaluate);
    if (value === null || typeof value !== "object") return value;
    const { copy = [], ...rest } = value;
    const entries = Object.entries(rest).map(([key, part]) => [evaluate(key), evaluate(part)]);
    const copies = copy.map(({ name, count, input }: Value) => [
      name,
      Array.from({ length: evaluate(count) }, (_, i) => {
        counters.set(name, i);
        return evaluate(input);
      }),
    ]);
    return Object.fromEntries([...entries, ...copies]);
  }

  const resources: Value[] = [];
  const names = new Map<string, ReadonlySet<string>>();
  const after = new Map<string, readonly string[]>();
  for (const { condition = true, dependsOn = [], ...rest } of template.resources) {
    const wanted = evaluate(condition);
    const predecessors = evaluate(dependsOn);
    ids = new Set();
    const resource = evaluate(rest);
    const id = idOf(resource);
    names.set(id, new Set(ids));
    after.set(id, predecessors);
    if (wanted) resources.push(resource);
  }
  const outputs = Object.fromEntries(
    Object.entries<Value>(template.outputs).map(([name, { value }]) => [name, evaluate(value)]),
  );
  return { resources, outputs, after, names, usedParameters, usedVariables };
}

function idsIn(value: Value): string[] {
  if (typeof value === "string") return value.startsWith("/subscriptions/") ? [value] : [];
  return value === null || typeof value !== "object" ? [] : Object.values(value).flatMap(idsIn);
}

/** The id of a resource, whose scope may be another one. */
export function idOf({ type, name, scope }: Value): string {
  const names = name.split("/");
  return scope === undefined
    ? FUNCTIONS["resourceId"]!(type, ...names)
    : FUNCTIONS["extensionResourceId"]!(scope, type, ...names);
}
